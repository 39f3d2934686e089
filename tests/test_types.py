import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types


def test_ranks_that_fit_pass():
  types.check_ranks((0, 1, 3), np.float32(1), np.zeros(2), jnp.zeros((1, 2, 3)))


@pytest.mark.parametrize(
  'ranks, shapes',
  [((1,), [(2, 2)]), ((1, 2), [(2,), (2,)]), ((1, 1), [(2,)]), ((), [(2,)])],
)
def test_ranks_that_do_not_fit_are_named(ranks, shapes):
  with pytest.raises(ValueError, match='ranks') as error:
    types.check_ranks(ranks, *(np.zeros(shape) for shape in shapes))
  assert str(ranks) in str(error.value)
  assert str(tuple(len(shape) for shape in shapes)) in str(error.value)


def test_one_shape():
  types.check_same_shape(np.zeros((2, 3)), jnp.zeros((2, 3)))
  types.check_same_shape()
  with pytest.raises(ValueError, match=r'\(2, 1\).*\(2, 3\)'):
    types.check_same_shape(np.zeros((2, 3)), np.zeros((2, 1)))


def test_a_batch_is_a_tree_of_its_arrays():
  import jax

  inputs = types.Inputs(
    np.zeros((1, 2, 3), np.int32),
    np.zeros((1, 2, 0), np.int32),
    np.zeros((1, 2, 1), np.float32),
  )
  flags = np.zeros((1, 2), bool)
  numbers = np.zeros((1, 2), np.int32)
  batch = types.Batch(
    inputs, np.zeros((1, 2, 2), np.float32), flags, flags, numbers, numbers
  )
  assert len(jax.tree.leaves(batch)) == 8
  doubled = jax.tree.map(lambda x: np.concatenate([x, x]), batch)
  assert doubled.inputs.multi_valued.shape == (2, 2, 0)

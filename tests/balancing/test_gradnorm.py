"""GradNorm by hand, and beside its algorithm in double precision."""

import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import gradnorm

GOLDEN = json.loads(
  (pathlib.Path(__file__).parent / 'golden' / 'gradnorm.json').read_text()
)['cases']


def _steps(link, gradients, losses=None):
  """Combined gradients and states of a sequence of steps."""
  state, update, found = link.init(None), jax.jit(link.update), []
  losses = np.ones(np.shape(gradients)[:2]) if losses is None else losses
  for own, loss in zip(gradients, losses, strict=True):
    combined, state = update(
      jnp.asarray(own, jnp.float32), state, losses=jnp.asarray(loss, 'f4')
    )
    found.append((np.asarray(combined), state))
  return found


@pytest.mark.parametrize('case', GOLDEN)
def test_it_is_the_algorithm_in_double_precision(case):
  golden = GOLDEN[case]
  link = gradnorm.gradnorm(len(golden['losses'][0]))
  found = _steps(link, golden['gradients'], golden['losses'])
  for i, (combined, state) in enumerate(found):
    weights = golden['gradnorm']['weights'][i]
    np.testing.assert_allclose(state.task_weights, weights, rtol=1e-4)
    size = np.abs(golden['gradients'][i]).max()
    expected = golden['gradnorm']['combined'][i]
    np.testing.assert_allclose(combined, expected, rtol=1e-4, atol=1e-4 * size)
    assert np.all(np.asarray(state.next_weights) >= 0)
    np.testing.assert_allclose(np.mean(state.next_weights), 1.0, rtol=1e-5)


def test_it_evens_out_norms():
  gradients = np.zeros((200, 2, 6))
  gradients[:, :, 0] = [3.0, 1.0]
  state = _steps(gradnorm.gradnorm(2), gradients)[-1][1]
  # Norms are equal at 0.5 and 1.5; Adam turns around there.
  np.testing.assert_allclose(state.task_weights, [0.5, 1.5], atol=0.05)


def test_it_starts_with_equal_weights_and_one_step_of_adam():
  gradients = np.zeros((2, 2, 6))
  gradients[:, :, 0] = [3.0, 1.0]
  link = gradnorm.gradnorm(2, learning_rate=0.1)
  (combined, first), (_, second) = _steps(link, gradients)
  assert combined[0] == 4.0
  np.testing.assert_allclose(first.task_weights, [1.0, 1.0])
  np.testing.assert_allclose(second.task_weights, [0.9, 1.1], rtol=1e-5)


def test_it_pulls_the_task_that_is_slow():
  derivative = gradnorm.gradnorm_derivative(
    jnp.ones(2), jnp.ones(2), jnp.array([0.5, 1.0]), 1.0
  )
  # Relative rates 2/3 and 4/3 are the targets of the norms 1 and 1.
  assert derivative.tolist() == [1.0, -1.0]


def test_batches_without_a_task_teach_nothing_of_it():
  """Interleaved, the first one too, they leave the other steps as they are."""
  rng, link = np.random.default_rng(0), gradnorm.gradnorm(3)
  whole, losses = rng.normal(size=(5, 3, 6)), np.exp(rng.normal(size=(5, 3)))
  seen = np.array([1.0, 1.0, 0.0])
  both = np.stack([whole * seen[:, None], whole], 1).reshape(10, 3, 6)
  found = _steps(
    link, both, np.stack([losses * seen, losses], 1).reshape(10, 3)
  )
  for (combined, _), (alone, _) in zip(
    found[1::2], _steps(link, whole, losses), strict=True
  ):
    np.testing.assert_allclose(combined, alone, rtol=1e-4, atol=1e-5)
  np.testing.assert_allclose(found[0][0], both[0].sum(0), rtol=1e-4, atol=1e-5)

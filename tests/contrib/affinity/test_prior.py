from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.contrib.affinity import network, prior
from rmtl_jax.updates import state


def params(rows=3):
  """Of an actor with an affinity of one factor and one task."""
  return {
    'first': {'table': jnp.ones((rows, 2))},
    'affinity': {
      'table': jnp.arange(rows * 2.0).reshape(rows, 2) / 10,
      'spread': jnp.full((rows, 2), -0.05),
      'scale': jnp.ones(1),
    },
  }


def zeros(tree):
  return jax.tree.map(jnp.zeros_like, tree)


def test_every_update_has_its_share_of_the_divergence():
  link, given = prior.add_divergence(0.25), params()
  opt_state = link.init(given)
  for step in range(3):
    found, opt_state = link.update(zeros(given), opt_state, given)
    own = found['affinity']
    # 0.25 d/dt (10 t)^2 / 2 and 0.25 d/dr (exp(20 r) / 2 - 10 r).
    np.testing.assert_allclose(
      own['table'], 25 * given['affinity']['table'], rtol=1e-6
    )
    np.testing.assert_allclose(own['spread'], 2.5 * np.expm1(-1.0), rtol=1e-5)
    np.testing.assert_array_equal(own['scale'], 0)
    np.testing.assert_array_equal(found['first']['table'], 0)
    assert int(opt_state.step) == step + 1


def test_a_row_that_was_left_out_pays_later():
  """Updates that see rows 0, 2 and 1, 2, as updates/rows.py takes them."""
  link, given = prior.add_divergence(1.0), params()
  whole = link.init(given)

  def on(rows, whole):
    rows = jnp.array(rows)

    def take(path, leaf):
      return leaf[rows] if state.is_embedding(path) else leaf

    def put(path, old, new):
      return old.at[rows].set(new) if state.is_embedding(path) else new

    small, opt_state = (
      jax.tree.map_with_path(take, tree) for tree in (given, whole)
    )
    found, opt_state = link.update(zeros(small), opt_state, small)
    return found, jax.tree.map_with_path(put, whole, opt_state)

  first, whole = on([0, 2], whole)
  second, whole = on([1, 2], whole)
  third, whole = on([0, 1], whole)
  divergence = network.divergence_gradient('spread', jnp.array(-0.05))
  for found, times in ((first, (1, 1)), (second, (2, 1)), (third, (2, 1))):
    wanted = np.repeat(np.array(times)[:, None] * divergence, 2, axis=1)
    np.testing.assert_allclose(found['affinity']['spread'], wanted, rtol=1e-5)
  np.testing.assert_array_equal(
    whole.paid['affinity']['table'][:, 0], [2, 2, 1]
  )


def test_others_carry_nothing():
  given = {'first': {'table': jnp.ones((3, 2))}}
  link = prior.add_divergence(1.0)
  assert link.init(given) == ()
  found, opt_state = link.update(zeros(given), (), given)
  np.testing.assert_array_equal(found['first']['table'], 0)
  assert opt_state == ()


@pytest.mark.parametrize('stacked', [(), (4,)])
def test_the_optimizers_state_follows_the_table(stacked):
  given = jax.tree.map(
    lambda leaf: jnp.broadcast_to(leaf, (*stacked, *leaf.shape)), params()
  )
  optimizer = state.make_optimizer(
    config_lib.StageConfig(l2=0.5), prior_weight=0.125
  )
  opt_state = optimizer.init(given)
  (link,) = (s for s in opt_state if isinstance(s, prior.PriorState))
  assert float(link.share) == 0.125
  paid = link.paid['affinity']['table']
  assert (paid.shape, paid.dtype) == ((*stacked, 3, 1), jnp.int32)


def test_priors_stand_in_for_the_affinitys_decay():
  link = state._l2_links(config_lib.StageConfig(l2=0.5, embedding_l2=0.25))[0]
  given = params()
  decay, _ = link.update(zeros(given), link.init(given), given)
  np.testing.assert_array_equal(decay['first']['table'], 0.25)
  for leaf in decay['affinity'].values():
    np.testing.assert_array_equal(leaf, 0)

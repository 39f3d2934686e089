"""Task gradients compared, against jax.grad."""

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax.updates import conflicts, forward, shared
from tests.updates import problem

ROWS = problem.columns()


def _looked(params):
  return conflicts.Looked(params, jnp.zeros((), jnp.int32))


def test_norms_and_cosines_are_those_of_shared_parameters():
  network = problem.actor('mmoe')
  masks = shared.shared_parameters(problem.SPEC, 'mmoe', problem.NETWORK)
  step = jax.jit(conflicts.make_conflict_step(network, masks))
  params, batch = problem.actor_params(network), problem.batch(ROWS)
  looked, metrics = step(_looked(params), batch, jax.random.key(0))
  assert int(looked.step) == 1
  jax.tree.map(np.testing.assert_array_equal, looked.params, params)

  def mean_loss(params, k):
    losses, _ = forward.actor_losses(network, params, batch, None)
    own = jnp.where(batch.mask, losses[..., k], 0.0)
    return jnp.sum(own) / jnp.sum(batch.mask)

  gradients = jax.jit(
    lambda params: [jax.grad(mean_loss)(params, k) for k in range(2)]
  )(params)
  flat = []
  for gradient in jax.device_get(gradients):
    seen = jax.tree.map(lambda g, m: np.where(m, g, 0.0), gradient, masks)
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves(seen)]
    flat.append(np.concatenate(leaves).astype(np.float64))
  norms = [np.linalg.norm(one) for one in flat]
  cosine = flat[0] @ flat[1] / (norms[0] * norms[1])
  assert abs(cosine) > 0.01
  np.testing.assert_allclose(
    [metrics['norm_0'], metrics['norm_1']], norms, rtol=1e-4
  )
  np.testing.assert_allclose(metrics['cosine_0_1'], cosine, rtol=1e-3)
  assert float(metrics['conflict_0_1']) == float(cosine < 0.0)
  for of in ('0', '1', '0_1'):
    assert float(metrics[f'batches_{of}']) == 1.0


def test_a_task_without_a_gradient_has_no_conflict():
  network = problem.actor('shared_bottom')
  masks = jax.tree.map(
    lambda leaf: np.False_,
    jax.eval_shape(network.init, jax.random.key(0)),
  )
  step = jax.jit(conflicts.make_conflict_step(network, masks))
  params, batch = problem.actor_params(network), problem.batch(ROWS)
  _, metrics = step(_looked(params), batch, jax.random.key(0))
  assert float(metrics['norm_0']) == float(metrics['cosine_0_1']) == 0.0
  assert float(metrics['conflict_0_1']) == 0.0

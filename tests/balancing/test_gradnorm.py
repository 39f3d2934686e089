"""GradNorm by hand, and beside its algorithm in double precision."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.balancing import gradnorm


def reference(gradients, losses, alpha=1.5, rate=0.025):
  """GradNorm's Algorithm 1 in float64: weights and sums of every step."""
  tasks = losses.shape[1]
  weights = [1.0] * tasks
  first, second = [0.0] * tasks, [0.0] * tasks
  found = {'weights': [], 'combined': []}
  for step, (g, loss) in enumerate(zip(gradients, losses, strict=True), 1):
    found['weights'].append(list(weights))
    found['combined'].append(
      sum(w * x for w, x in zip(weights, g, strict=True))
    )
    norms = [math.sqrt(sum(x * x)) for x in g]
    mean = sum(w * n for w, n in zip(weights, norms, strict=True)) / tasks
    ratios = [now / then for now, then in zip(loss, losses[0], strict=True)]
    for k in range(tasks):
      target = mean * (ratios[k] / (sum(ratios) / tasks)) ** alpha
      gap = weights[k] * norms[k] - target
      # Equal ones differ by rounding alone.
      sign = 0.0 if abs(gap) < 1e-9 * target else math.copysign(1.0, gap)
      slope = norms[k] * sign
      first[k] = 0.9 * first[k] + 0.1 * slope
      second[k] = 0.999 * second[k] + 0.001 * slope**2
      corrected = first[k] / (1 - 0.9**step)
      size = math.sqrt(second[k] / (1 - 0.999**step))
      weights[k] = max(weights[k] - rate * corrected / (size + 1e-16), 0.0)
    weights = [tasks * w / sum(weights) for w in weights]
  return found


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


@pytest.mark.parametrize('tasks', [2, 3, 8])
@pytest.mark.parametrize('case', ['any', 'equal', 'of zeros', 'a million'])
def test_it_is_the_algorithm_in_double_precision(case, tasks):
  rng = np.random.default_rng(tasks)
  gradients = rng.normal(size=(5, tasks, 6))
  losses = rng.uniform(0.1, 1.0, size=(5, tasks))
  if case == 'equal':
    gradients[:] = gradients[:, :1]
  gradients[:, 1] *= {'of zeros': 0.0, 'a million': 1e6}.get(case, 1.0)
  golden = reference(gradients, losses)
  found = _steps(gradnorm.gradnorm(tasks), gradients, losses)
  for i, (combined, state) in enumerate(found):
    np.testing.assert_allclose(
      state.task_weights, golden['weights'][i], rtol=1e-4
    )
    size = np.abs(gradients[i]).max()
    np.testing.assert_allclose(
      combined, golden['combined'][i], rtol=1e-4, atol=1e-4 * size
    )
    assert np.all(np.asarray(state.next_weights) >= 0)
    np.testing.assert_allclose(np.mean(state.next_weights), 1.0, rtol=1e-5)


def test_it_starts_with_equal_weights_and_one_step_of_adam():
  gradients = np.zeros((2, 2, 6))
  gradients[:, :, 0] = [3.0, 1.0]
  link = gradnorm.gradnorm(2, learning_rate=0.1)
  (combined, first), (_, second) = _steps(link, gradients)
  assert combined[0] == 4.0
  np.testing.assert_allclose(first.task_weights, [1.0, 1.0])
  np.testing.assert_allclose(second.task_weights, [0.9, 1.1], rtol=1e-5)


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

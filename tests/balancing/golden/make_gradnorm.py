"""Writes gradnorm.json: GradNorm's Algorithm 1 in float64, Adam written out.

    python tests/balancing/golden/make_gradnorm.py [SEED]

A case is a sequence of steps with gradients [steps, K, 6] and losses
[steps, K]. The committed file is that of seed 0.
"""

from __future__ import annotations

import json
import math
import pathlib
import sys

import numpy as np

STEPS = 5


def cases(seed):
  """Gradients and losses by name: random ones, and degenerate ones."""
  rng = np.random.default_rng(seed)

  def sequence(tasks, change=lambda g: g):
    gradients = np.round(rng.normal(size=(STEPS, tasks, 6)), 4)
    losses = np.round(rng.uniform(0.1, 1.0, size=(STEPS, tasks)), 4)
    return np.stack([change(g) for g in gradients]), losses

  a_million = np.array([[1.0], [1e6], [1.0]])
  return {
    'two': sequence(2),
    'three': sequence(3),
    'eight': sequence(8),
    'equal': sequence(3, lambda g: np.tile(g[:1], (3, 1))),
    'opposite': sequence(2, lambda g: np.stack([g[0], -g[0]])),
    'one of zeros': sequence(3, lambda g: g * [[1.0], [0.0], [1.0]]),
    'a million times larger': sequence(3, lambda g: g * a_million),
    'collinear': sequence(3, lambda g: np.outer([1.0, 2.0, -3.0], g[0])),
  }


def gradnorm(gradients, losses, alpha=1.5, rate=0.025):
  """Weights and combined gradients of every step."""
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


def main(seed):
  """Writes the file beside this one."""
  record = {
    name: {
      'gradients': gradients,
      'losses': losses,
      'gradnorm': gradnorm(gradients, losses),
    }
    for name, (gradients, losses) in cases(seed).items()
  }
  text = json.dumps({'seed': seed, 'cases': record}, default=np.ndarray.tolist)
  path = pathlib.Path(__file__).with_name('gradnorm.json')
  # A line per case.
  path.write_text(text.replace('}}, "', '}},\n"') + '\n', encoding='utf-8')


if __name__ == '__main__':
  main(int(sys.argv[1]) if sys.argv[1:] else 0)

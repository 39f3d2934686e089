"""Writes gradients.json: balancers on task gradients, computed elsewhere.

    python tests/balancing/golden/make_gradients.py --seed=0

in an environment with torch and torchjd; the file was made with torch 2.13 and
TorchJD 0.18. ExcessMTL and GradDrop are TorchJD's; GradNorm, DB-MTL,
MetaBalance and MultiBalance, which it lacks, are computed here from their
equations in float64 NumPy, one task and step after the other. A case is a
sequence of steps with gradients [steps, K, 6], whose first 4 numbers are one
layer and whose last 2 another, and losses [steps, K].
"""

from __future__ import annotations

import argparse
import json
import math
import pathlib

import numpy as np

STEPS = 5
LAYERS = (slice(0, 4), slice(4, 6))
WARMUP_STEPS = 2
ROBUST_STEP_SIZE = 0.5


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


def excess_mtl(gradients, losses, rng):
  """TorchJD's, whose weights sum to 1."""
  del losses, rng
  import torch  # pyright: ignore[reportMissingImports]
  from torchjd import aggregation  # pyright: ignore[reportMissingImports]

  weighting = aggregation.ExcessMTLWeighting(ROBUST_STEP_SIZE, WARMUP_STEPS)
  weights = [weighting(torch.tensor(g)).numpy() for g in gradients]
  combined = [w @ g for w, g in zip(weights, gradients, strict=True)]
  return {'weights': weights, 'combined': combined}


def graddrop(gradients, losses, rng):
  """TorchJD's, with the draws that it makes, for two leaks."""
  del losses
  import torch  # pyright: ignore[reportMissingImports]
  from torchjd import aggregation  # pyright: ignore[reportMissingImports]

  found = {'uniform': []}
  for leak in (0.0, 0.25):
    leaks = torch.full((gradients.shape[1],), leak, dtype=torch.float64)
    aggregator = aggregation.GradDrop(leak=leaks)
    found[f'leak {leak}'] = []
    for step, g in enumerate(gradients):
      if leak == 0.0:
        found['uniform'].append(int(rng.integers(2**31)))
      torch.manual_seed(found['uniform'][step])
      found[f'leak {leak}'].append(aggregator(torch.tensor(g)).numpy())
  for step, seed in enumerate(found['uniform']):
    torch.manual_seed(seed)
    found['uniform'][step] = torch.rand(6, dtype=torch.float64).numpy()
  return found


def gradnorm(gradients, losses, rng, alpha=1.5, rate=0.025):
  """Algorithm 1, with Adam written out."""
  del rng
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


def db_mtl(gradients, losses, rng, decay=0.9):
  """Algorithm 1: the sum of the scaled averages, in the paper's scale."""
  del rng
  averages = np.zeros_like(gradients[0])
  found = {'combined': []}
  for g, loss in zip(gradients, losses, strict=True):
    averages = decay * averages + (1 - decay) * g / (loss[:, None] + 1e-8)
    norms = np.linalg.norm(averages, axis=1)
    found['combined'].append(
      sum(
        a * (max(norms) / n)
        for a, n in zip(averages, norms, strict=True)
        if n > 0
      )
    )
  return found


def metabalance(gradients, losses, rng, relax=0.7, beta=0.9):
  """The first task is the target."""
  del losses, rng
  magnitudes = {}
  found = {'combined': []}
  for g in gradients:
    combined = np.zeros(6)
    for layer in LAYERS:
      for k, own in enumerate(g):
        before = magnitudes.get((layer.start, k), 0.0)
        magnitudes[layer.start, k] = beta * before + (
          1 - beta
        ) * np.linalg.norm(own[layer])
      target = magnitudes[layer.start, 0]
      for k, own in enumerate(g):
        magnitude = magnitudes[layer.start, k]
        if magnitude > 0:
          near = own[layer] * target / magnitude
          combined[layer] += relax * near + (1 - relax) * own[layer]
    found['combined'].append(combined)
  return found


def multibalance(gradients, losses, rng, relax=0.7, beta=0.9):
  """As MetaBalance with one magnitude per task, towards their mean."""
  del losses, rng
  magnitudes = np.zeros(gradients.shape[1])
  found = {'combined': []}
  for g in gradients:
    magnitudes = beta * magnitudes + (1 - beta) * np.linalg.norm(g, axis=1)
    found['combined'].append(
      sum(
        relax * own * magnitudes.mean() / m + (1 - relax) * own
        for own, m in zip(g, magnitudes, strict=True)
        if m > 0
      )
    )
  return found


METHODS = (excess_mtl, graddrop, gradnorm, db_mtl, metabalance, multibalance)


def main():
  """Writes the file beside this one."""
  parser = argparse.ArgumentParser()
  parser.add_argument('--seed', type=int, default=0)
  parser.add_argument(
    '--output', default=str(pathlib.Path(__file__).with_name('gradients.json'))
  )
  options = parser.parse_args()
  rng = np.random.default_rng([options.seed, 1])
  record = {
    name: {
      'gradients': gradients,
      'losses': losses,
      **{m.__name__: m(gradients, losses, rng) for m in METHODS},
    }
    for name, (gradients, losses) in cases(options.seed).items()
  }
  text = json.dumps(
    {'seed': options.seed, 'cases': record}, default=np.ndarray.tolist
  )
  # A line per case.
  text = text.replace('}}, "', '}},\n"')
  pathlib.Path(options.output).write_text(text + '\n', encoding='utf-8')


if __name__ == '__main__':
  main()

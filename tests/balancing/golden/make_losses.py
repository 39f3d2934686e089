"""Makes losses.json: what other code gives for balancers on losses.

python tests/balancing/golden/make_losses.py [SEED]

The committed file is that of seed 0, with torch 2.13.0, TorchJD 0.18.0 and
numpy in float64. Each entry has losses per step, f64[steps, K], and what
PyTorch's autograd gives for them: the gradient of the combined loss in the
losses, step by step, which our weights are compared with.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np

PATH = pathlib.Path(__file__).with_name('losses.json')
STEPS = 6
TEMPERATURE, PERIOD = 2.0, 2
LEARNING_RATE, DECAY = 0.025, 1e-3


def cases(seed: int) -> dict[str, np.ndarray]:
  """Losses of every step by what they are like, f64[steps, K]."""
  rng = np.random.default_rng(seed)
  found = {
    f'random_{k}': rng.exponential(size=(STEPS, k)) + 0.01 for k in (2, 3, 8)
  }
  found['equal'] = np.full((STEPS, 3), 0.7)
  found['million'] = rng.exponential(size=(STEPS, 3)) * [1.0, 1e6, 1.0] + 0.01
  found['falling'] = np.exp(-np.arange(STEPS)[:, None] * [0.1, 0.5])
  found['one_task'] = rng.exponential(size=(STEPS, 1)) + 0.01
  return found


def gradient(combine: Any, values: np.ndarray) -> list[float]:
  """d combine / d values by autograd."""
  import torch

  leaf = torch.tensor(values, dtype=torch.float64, requires_grad=True)
  return torch.autograd.grad(combine(leaf), leaf)[0].tolist()


def gls(losses: np.ndarray) -> Any:
  """TorchJD's geometric mean."""
  from torchjd import scalarization

  return [gradient(scalarization.GeometricMean(), row) for row in losses]


def dwa(losses: np.ndarray) -> Any:
  """TorchJD's DWA with an epoch of PERIOD steps."""
  from torchjd import scalarization

  combine, found = scalarization.DWA(TEMPERATURE), []
  for step, row in enumerate(losses, 1):
    found.append(gradient(combine, row))
    if step % PERIOD == 0:
      combine.step()
  return found


def famo(losses: np.ndarray) -> Any:
  """TorchJD's FAMO; the losses after a step are those of the next one."""
  import torch
  from torchjd import scalarization

  combine = scalarization.FAMO(
    losses.shape[1], lr=LEARNING_RATE, weight_decay=DECAY
  ).double()
  found = []
  for row, after in zip(losses, np.roll(losses, -1, 0), strict=True):
    found.append(gradient(combine, row))
    combine.update(torch.tensor(after))
  return found


def learnt(losses: np.ndarray, combine: Any) -> Any:
  """Gradients of combine(losses, s), s by torch's own Adam."""
  import torch

  s = torch.zeros(losses.shape[1], dtype=torch.float64, requires_grad=True)
  optimizer, found = torch.optim.Adam([s], lr=LEARNING_RATE), []
  for row in losses:
    values = torch.tensor(row, requires_grad=True)
    optimizer.zero_grad()
    combine(values, s).backward()
    optimizer.step()
    assert values.grad is not None
    found.append(values.grad.tolist())
  return found


def imtl_l(losses: np.ndarray) -> Any:
  """TorchJD's IMTL-L, its scales by torch's Adam."""
  import torch
  from torchjd import scalarization

  module = scalarization.IMTLL(losses.shape[1]).double()

  def combine(values, s):
    return torch.func.functional_call(module, {'log_scale': s}, (values,))

  return learnt(losses, combine)


def classification(losses: np.ndarray) -> Any:
  """Kendall's form of classification, which TorchJD lacks."""
  import torch

  return learnt(losses, lambda x, s: (torch.exp(-s) * x + s / 2).sum())


METHODS = (gls, dwa, famo, imtl_l, classification)


def make(seed: int) -> dict[str, Any]:
  """All of the file."""
  return {
    'settings': {
      'temperature': TEMPERATURE,
      'period': PERIOD,
      'learning_rate': LEARNING_RATE,
      'decay': DECAY,
    },
    'cases': {
      name: {
        'losses': losses.tolist(),
        **{method.__name__: method(losses) for method in METHODS},
      }
      for name, losses in cases(seed).items()
    },
  }


if __name__ == '__main__':
  SEED = int(sys.argv[1]) if sys.argv[1:] else 0
  PATH.write_text(json.dumps(make(SEED)) + '\n', encoding='utf-8')

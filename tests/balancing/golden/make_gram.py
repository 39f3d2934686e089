"""Makes gram.json: what TorchJD and plain numpy say of products of gradients.

Made with TorchJD 0.18.0, torch 2.13.0, quadprog, cvxpy, clarabel and ecos, in
float64, by

  python tests/balancing/golden/make_gram.py [SEED]

and seed 0. Tests read the file; other seeds make other inputs for them. In it,
per case: the gradients [K, P] that sum to the gradient; TorchJD's weights of
every method in its own convention (`torchjd`); and what an exhaustive search
over active sets gives in numpy (`exact`), for problems that TorchJD solves
roughly or not at all: shares of the least norm, and
weights of projections on the dual cone, of gradients of very unequal size.
"""

from __future__ import annotations

import itertools
import json
import pathlib
import sys

import numpy as np

PATH = pathlib.Path(__file__).with_name('gram.json')
C = (0.3, 0.8)  # of CAGrad


def cases(seed: int) -> dict[str, np.ndarray]:
  """Gradients by name, [K, P] each."""
  rng = np.random.default_rng(seed)
  found = {}
  for tasks in (2, 3, 8):
    for number in range(3):
      found[f'random_{tasks}_{number}'] = rng.normal(size=(tasks, tasks + 3))
    scales = np.exp(rng.normal(size=(tasks, 1)))
    found[f'scales_{tasks}'] = scales * rng.normal(size=(tasks, tasks + 3))
    shared = rng.normal(size=(1, tasks + 3))
    found[f'agreeing_{tasks}'] = shared + 0.3 * rng.normal(
      size=(tasks, tasks + 3)
    )
    first, second, third = rng.normal(size=(3, tasks + 3))
    rest = rng.normal(size=(tasks, tasks + 3))[3:]
    three = np.stack([first, second, third])[:tasks]
    degenerate = {
      'equal': np.stack([first] * tasks),
      'opposite': np.stack([first, -first, third, *rest][:tasks]),
      'zero_one': np.stack([first, 0 * second, third, *rest][:tasks]),
      'zero_all': np.zeros((tasks, tasks + 3)),
      'million': np.stack([1e6 * three[0], *three[1:], *rest]),
      'collinear': np.stack([first, 2 * first, third, *rest][:tasks]),
    }
    found |= {f'{name}_{tasks}': made for name, made in degenerate.items()}
  return found


def subsets(tasks: int):
  """All sets of tasks but the empty one, as boolean masks."""
  for bits in itertools.product((False, True), repeat=tasks):
    if any(bits):
      yield np.array(bits)


def least_norm(gram: np.ndarray) -> np.ndarray:
  """Shares >= 0 that sum to 1 with the least norm, by trying all sets."""
  tasks = len(gram)
  norms = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1))
  best, best_value = None, np.inf
  for free in subsets(tasks):
    size = free.sum()
    shares = np.zeros(tasks)
    # Stationary in the free shares, which sum to what is left; in units of
    # their gradients' norms, so that rounding is that of each.
    system = np.zeros((size + 1, size + 1))
    own = norms[free]
    system[:size, :size] = gram[np.ix_(free, free)] / own[:, None] / own
    slopes = own.min() / own
    system[:size, size] = system[size, :size] = slopes
    linear = gram[free] @ shares / own / own.min()
    right = np.append(-linear, 1 - shares.sum())
    solution = np.linalg.lstsq(system, right, rcond=None)[0]
    shares[free] = solution[:size] * slopes
    if abs(shares.sum() - 1) > 1e-9 or np.any(shares < -1e-9):
      continue
    value = shares @ gram @ shares
    if value < best_value * (1 - 1e-12):
      best, best_value = np.maximum(shares, 0), value
  assert best is not None
  return best


def on_dual_cone(gram: np.ndarray, own: np.ndarray) -> np.ndarray:
  """Weights >= own of the least norm of the sum, by trying all sets."""
  norms = np.sqrt(np.where(np.diag(gram) > 0, np.diag(gram), 1))
  cosines = gram / norms[:, None] / norms
  start = own * norms
  best, best_value = start, start @ cosines @ start
  for free in subsets(len(gram)):
    added = np.zeros(len(gram))
    added[free] = np.linalg.lstsq(
      cosines[np.ix_(free, free)], -(cosines @ start)[free], rcond=None
    )[0]
    found = start + added
    value = found @ cosines @ found
    if np.all(added >= -1e-12) and value < best_value * (1 - 1e-12) - 1e-20:
      best, best_value = found, value
  return best / norms


def orders(seed: int, tasks: int) -> np.ndarray:
  """For every task an order of all, i[K, K]."""
  rng = np.random.default_rng([seed, tasks])
  return np.stack([rng.permutation(tasks) for _ in range(tasks)])


def torchjd_weights(gradients: np.ndarray, order: np.ndarray) -> dict:
  """TorchJD's weights, or the sum itself where it gives no weights."""
  import torch
  import torchjd.aggregation as agg

  torch.set_default_dtype(torch.float64)
  jacobian = torch.tensor(gradients)
  gram = jacobian @ jacobian.T
  tasks = len(gradients)
  found = {}

  def put(name, weighting, matrix=gram):
    try:
      value = weighting(matrix).numpy()
    except Exception as error:
      print(f'{name}: {error!r:.100}', file=sys.stderr)
      return
    found[name] = value if np.all(np.isfinite(value)) else None

  projector = agg.UPGradWeighting().projector
  projector.norm_eps, projector.reg_eps = 0.0, 1e-12
  put('mgda', agg.MGDAWeighting(epsilon=1e-9, max_iters=20000))
  for c in C:
    put(f'cagrad_{c}', agg.CAGradWeighting(c=c, norm_eps=1e-9))
  put('aligned_mtl', agg.AlignedMTLWeighting())
  put('imtl_g', agg.IMTLGWeighting())
  put('upgrad', agg.UPGradWeighting(projector=projector))
  put('dualproj', agg.DualProjWeighting(projector=projector))
  preference = torch.arange(1.0, tasks + 1) / tasks
  put('upgrad_preferring', agg.UPGradWeighting(preference, projector))
  put('dualproj_preferring', agg.DualProjWeighting(preference, projector))
  put('config_sum', agg.ConFIG(), jacobian)
  original = torch.randperm
  try:
    turn = iter(order)
    torch.randperm = lambda n: torch.tensor(next(turn))
    put('pcgrad', agg.PCGradWeighting())
  finally:
    torch.randperm = original
  return found


def make(seed: int) -> dict:
  """The file's content."""
  content = {'seed': seed, 'c': C, 'cases': {}}
  for name, gradients in cases(seed).items():
    gram = gradients @ gradients.T
    order = orders(seed, len(gradients))
    content['cases'][name] = {
      'gradients': gradients,
      'order': order,
      'torchjd': torchjd_weights(gradients, order),
      'exact': {
        'mgda': least_norm(gram),
        'dualproj': on_dual_cone(gram, np.ones(len(gram))),
        'upgrad': sum(on_dual_cone(gram, own) for own in np.eye(len(gram))),
      },
    }
  return content


if __name__ == '__main__':
  made = make(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
  text = json.dumps(made, default=lambda array: array.tolist())
  PATH.write_text(text + '\n')

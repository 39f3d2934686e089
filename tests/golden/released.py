"""Parameters by the names of the released PyTorch code, as our trees.

Their kernels are [units, inputs], one array per layer; ours [inputs, units],
stacked, and the first layer's side by side. So `tree` reorders numbers and
changes none: it takes gradients as well as parameters.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Get = Callable[[str], np.ndarray]
_TASKS = (0, 1)
_EXPERTS = range(8)


def _linear(get: Get, name: str) -> dict[str, Any]:
  return {'kernel': get(f'{name}.weight').T, 'bias': get(f'{name}.bias')}


def _stacked(get: Get, names: Sequence[str]) -> dict[str, Any]:
  layers = [_linear(get, name) for name in names]
  return {
    part: np.stack([layer[part] for layer in layers])
    for part in ('kernel', 'bias')
  }


def _first(get: Get, names: Sequence[str], table='embedding.embedding.weight'):
  """Embeddings, and the layers on top of the features side by side."""
  layers = [_linear(get, name) for name in names]
  table = get(table)
  kernel = np.concatenate([layer['kernel'] for layer in layers], axis=1)
  dim = table.shape[1]
  return {
    'table': table,
    'numeric': _linear(get, 'numerical_layer'),
    'kernel': kernel.reshape(-1, dim, kernel.shape[1]),
    'bias': np.concatenate([layer['bias'] for layer in layers]),
  }


def _towers(get: Get, names: Sequence[str]) -> dict[str, Any]:
  def layer(number):
    return _stacked(get, [f'{name}.mlp.{number}' for name in names])

  return {
    'linear_0': layer(0),
    'hidden': {'linear_1': layer(3)},
    'heads': {'linear': layer(6)},
  }


_TOWERS = ('tower.0', 'tower.1')


def _shared_bottom(get: Get, tower: str = 'tower.0,tower.1') -> dict[str, Any]:
  return {
    'first': _first(get, ['bottom.mlp.0']),
    'bottom': {'linear_1': _stacked(get, ['bottom.mlp.3'])},
    'towers': _towers(get, tower.split(',')),
  }


def _single_task(get: Get) -> dict[str, Any]:
  def one(task):
    def named(name):
      for part in ('embedding', 'numerical_layer', 'bottom', 'tower'):
        if name.startswith(f'{part}.'):
          return get(name.replace(part, f'{part}.{task}', 1))
      raise KeyError(name)

    return _shared_bottom(named, 'tower')

  return _side_by_side([one(task) for task in _TASKS])


def _side_by_side(trees: Sequence[Any]) -> Any:
  if isinstance(trees[0], dict):
    return {name: _side_by_side([t[name] for t in trees]) for name in trees[0]}
  return np.stack(trees)


def _mixture(gates: Sequence[str]) -> Callable[[Get], dict[str, Any]]:
  def build(get):
    experts = [f'expert.{e}' for e in _EXPERTS]
    return {
      'first': _first(get, [*(f'{e}.mlp.0' for e in experts), *gates]),
      'experts': {'linear_1': _stacked(get, [f'{e}.mlp.3' for e in experts])},
      'towers': _towers(get, _TOWERS),
    }

  return build


def _ple(get: Get) -> dict[str, Any]:
  """Four experts of each task, then four shared ones, at both levels."""

  def experts(level, numbers):
    return [f'expert.{level}.{e}.mlp.0' for e in numbers]

  gates = [f'gate.0.{g}.0' for g in range(3)]
  level = {
    f'experts_{k}': _stacked(get, experts(1, range(4 * k, 4 * k + 4)))
    for k in _TASKS
  }
  level |= {f'gate_{k}': _linear(get, f'gate.1.{k}.0') for k in _TASKS}
  level['experts_shared'] = _stacked(get, experts(1, range(8, 12)))
  return {
    'first': _first(get, [*experts(0, range(12)), *gates]),
    'level_1': level,
    'towers': _towers(get, _TOWERS),
  }


def _aitm(get: Get) -> dict[str, Any]:
  bottoms = [f'bottom.{k}' for k in _TASKS]
  return {
    'first': _first(get, [f'{name}.mlp.0' for name in bottoms]),
    'bottoms': {'linear_1': _stacked(get, [f'{b}.mlp.3' for b in bottoms])},
    'transfer_1': {
      'info': _linear(get, 'g.0'),
      'value': _linear(get, 'h1'),
      'key': _linear(get, 'h2'),
      'query': _linear(get, 'h3'),
    },
    'towers': _towers(get, _TOWERS),
  }


def _esmm(get: Get) -> dict[str, Any]:
  def layer(part, number):
    return _stacked(get, [f'{part}.{k}.mlp.{number}' for k in _TASKS])

  return {
    'first': _first(get, [f'bottom.{k}.mlp.0' for k in _TASKS]),
    'hidden': {
      'linear_1': layer('bottom', 3),
      'linear_2': layer('tower', 0),
      'linear_3': layer('tower', 3),
    },
    'heads': {'linear': layer('tower', 6)},
  }


def critics(gets: Sequence[Get]) -> dict[str, Any]:
  """Separate critics, one per task; the action's block is their last."""
  return _side_by_side([_critic(get) for get in gets])


def _critic(get: Get) -> dict[str, Any]:
  tree = _shared_bottom(get, 'tower')
  kernel = tree['first']['kernel']
  first = {**tree['first'], 'kernel': kernel[:-1]}
  action = _linear(get, 'action_layer')
  return {**tree, 'first': first, 'action': action, 'action_kernel': kernel[-1]}


_BUILDERS = {
  'single_task': _single_task,
  'shared_bottom': _shared_bottom,
  'omoe': _mixture(['gate.0']),
  'mmoe': _mixture(['gate.0.0', 'gate.1.0']),
  'ple': _ple,
  'aitm': _aitm,
  'esmm': _esmm,
}

BACKBONES = tuple(_BUILDERS)


def actor(backbone: str, get: Get) -> dict[str, Any]:
  """An actor's parameters (or gradients) by their names -> our tree."""
  return _BUILDERS[backbone](get)

"""Initial values of linear layers by torch's rule (`official`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

_Group = Mapping[str, Any]


def redraw(params: _Group, key: jax.Array) -> dict[str, Any]:
  """A module's fresh parameters, linear layers drawn as torch does.

  Kernels and biases of a layer with n inputs are uniform in +-1 / sqrt(n), as
  in `torch.nn.Linear`. A drawn bias is added to the
  initial one, because a module that starts it elsewhere than at 0 needs that.
  Other parameters stay.
  """
  new_params = _redraw(params, key)
  # The first layer's inputs are all blocks, a critic's action among them.
  first, old = params['first'], params['first']['kernel']
  blocks, dim, _ = old.shape
  inputs = blocks * dim
  if 'action_kernel' in params:
    inputs += dim
    new_params['action_kernel'] = _uniform(
      jax.random.fold_in(key, 1), params['action_kernel'].shape, inputs
    )
  keys = jax.random.split(jax.random.fold_in(key, 2))
  new_params['first'] |= {
    'kernel': _uniform(keys[0], old.shape, inputs),
    'bias': first['bias'] + _uniform(keys[1], first['bias'].shape, inputs),
  }
  return new_params


def _redraw(group: _Group, key: jax.Array) -> dict[str, Any]:
  """Every layer of a group and of the groups in it, f32[..., n, units]."""
  new_group = dict(group)
  for i, (name, value) in enumerate(sorted(group.items())):
    if isinstance(value, Mapping):
      new_group[name] = _redraw(value, jax.random.fold_in(key, i + 3))
  if 'kernel' in group and 'bias' in group:
    kernel, bias = group['kernel'], group['bias']
    keys = jax.random.split(key)
    inputs = kernel.shape[-2]
    new_group['kernel'] = _uniform(keys[0], kernel.shape, inputs)
    new_group['bias'] = bias + _uniform(keys[1], bias.shape, inputs)
  return new_group


def _uniform(key: jax.Array, shape: tuple[int, ...], inputs: int) -> jax.Array:
  limit = float(np.sqrt(1.0 / inputs))
  return jax.random.uniform(key, shape, minval=-limit, maxval=limit)

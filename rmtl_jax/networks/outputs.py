"""Output columns of networks with tasks of several kinds.

Each tower has `FeatureSpec.units` outputs, side by side. An ordinal task
has one, its score, and as many columns of the network as thresholds: the
logits of the label being above each level. The thresholds are parameters of
the network, the same for all rows (proportional odds).
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.networks import functional

# Least distance of thresholds, in logits.
_LEAST_GAP = 1e-3
# Least share of a level, where thresholds begin.
_LEAST_SHARE = 1e-4


def one_task(spec: types.FeatureSpec) -> types.FeatureSpec:
  """The spec of one of K networks of a task each, with room for any of them."""
  losses = spec.losses
  if losses:
    most = max(spec.units)
    losses = (dataclasses.replace(losses[0], units=most, outputs=most),)
  return dataclasses.replace(spec, num_tasks=1, losses=losses, parents=())


def without_room(
  network: functional.Network, spec: types.FeatureSpec
) -> functional.Network:
  """K networks of `one_task` side by side, each with its task's units."""
  most = max(spec.units)
  if most == 1:
    return network
  places = [
    k * most + i for k, units in enumerate(spec.units) for i in range(units)
  ]

  def lane(*args: Any, **keys: Any) -> jax.Array:
    return network.lane(*args, **keys)[:, jnp.array(places)]

  return network._replace(lane=lane)


def with_tasks(
  network: functional.Network, spec: types.FeatureSpec
) -> functional.Network:
  """Wraps an actor so that its outputs are the tasks' columns.

  Returns:
    The network; with thresholds among its parameters where a task is ordinal.
  """
  if not spec.losses:
    return network
  network = network._replace(tasks=spec.losses)
  ordinal = [
    k for k, one in enumerate(spec.losses) if one.kind == kinds.ORDINAL
  ]
  if not ordinal:
    return network

  def rest(params: Any) -> Any:
    return {name: one for name, one in params.items() if name != 'thresholds'}

  def init(key: jax.Array) -> Any:
    found = {str(k): jnp.array(_first_gaps(spec.losses[k])) for k in ordinal}
    return {**network.init(key), 'thresholds': found}

  def lane(params, shared, inputs, *, dropout_key=None):
    units = network.lane(rest(params), shared, inputs, dropout_key=dropout_key)
    columns = list(jax.lax.split(units, spec.units, axis=1))
    for k in ordinal:
      gaps = params['thresholds'][str(k)]
      start = _logits(spec.losses[k])[0]
      steps = jax.nn.softplus(gaps) + _LEAST_GAP
      falls = jnp.concatenate([jnp.zeros(1), jnp.cumsum(steps)])
      columns[k] = columns[k] + (start - falls)[None, :]
    return jnp.concatenate(columns, axis=1)

  def share(params, inputs):
    return network.share(rest(params), inputs)

  return network._replace(init=init, share=share, lane=lane)


def _logits(task: types.TaskLoss) -> list[float]:
  """Logits of train's labels being above each level but the highest."""
  shares = [max(share, _LEAST_SHARE) for share in task.shares]
  above = [sum(shares[j + 1 :]) for j in range(len(shares) - 1)]
  upto = [sum(shares[: j + 1]) for j in range(len(shares) - 1)]
  return [math.log(a) - math.log(b) for a, b in zip(above, upto, strict=True)]


def _first_gaps(task: types.TaskLoss) -> list[float]:
  """Gaps of those logits, as softplus and _LEAST_GAP make them."""
  logits = _logits(task)
  gaps = [
    max(a - b - _LEAST_GAP, _LEAST_GAP) for a, b in itertools.pairwise(logits)
  ]
  return [math.log(math.expm1(gap)) for gap in gaps]

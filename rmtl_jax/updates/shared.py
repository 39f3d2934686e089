"""Which parameters more than one task reaches.

Methods that combine task gradients are about parameters that tasks share; a
tower's own parameters have one task's gradient alone, which nothing conflicts
with. A leaf may contain both: all towers are one array, and gates of mmoe are
columns of its first layer.
"""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import cross_terms, from_settings, functional
from rmtl_jax.updates import embedding_rows, state

# Slots of the batch on which gradients are looked at, lanes and length.
_LANES, _LENGTH = 2, 4


def shared_parameters(
  spec: types.FeatureSpec, backbone: str, config: config_lib.NetworkConfig
) -> Any:
  """Where a parameter is reached by several tasks, or by none.

  The gradient of each task's outputs is taken at positive parameters and
  inputs, so that no unit is off: a parameter that it does not reach then is
  reached by no step.

  Returns:
    A tree like the actor's parameters, of bool arrays that broadcast to them:
    one number where a leaf is shared as a whole.
  """
  # Tables of a few rows: all rows of a vocabulary behave alike.
  small = embedding_rows.small_spec(spec, _LANES * _LENGTH)
  network = from_settings.make_actor(small, backbone, config)
  abstract = jax.eval_shape(network.init, jax.random.key(0))
  inputs = _inputs(small)
  draw = np.random.default_rng(0)
  # By fan-in or more, so that no softmax saturates.
  params = jax.tree.map(
    lambda leaf: (
      draw.uniform(0.5, 1.5, leaf.shape).astype(np.float32)
      / math.prod(leaf.shape[:-1])
    ),
    abstract,
  )

  def reached(params):
    _, pullback = jax.vjp(
      lambda p: jnp.sum(functional.apply(network, p, inputs), (0, 1)), params
    )
    of_task = np.repeat(
      np.eye(spec.num_tasks, dtype=np.float32), spec.outputs, 1
    )
    (gradients,) = jax.vmap(pullback)(jnp.asarray(of_task))
    return jax.tree.map(lambda g: g != 0.0, gradients)

  def number_of_tasks(path, by_task):
    by_task = np.asarray(by_task)
    if state.is_embedding(path):
      by_task = np.any(by_task, (-2, -1), keepdims=True)
    count = np.sum(by_task, 0)
    mask = count != 1
    return np.bool_(mask.flat[0]) if np.all(mask == mask.flat[0]) else mask

  found = jax.jit(reached)(params)
  masks = jax.tree.map_with_path(number_of_tasks, found)
  if config.crosses:  # Which pairs there are may depend on sizes.
    whole = from_settings.make_actor(spec, backbone, config)
    shapes = jax.eval_shape(whole.init, jax.random.key(0)).get(
      cross_terms.NAME, {}
    )
    masks[cross_terms.NAME] = jax.tree.map(lambda _: np.False_, shapes)
  return masks


def _inputs(spec: types.FeatureSpec) -> types.Inputs:
  """Rows of one session per lane, all slots used, numbers positive."""
  shape = (_LANES, _LENGTH)
  draw = np.random.default_rng(0)
  categorical = [draw.integers(1, max(n, 2), shape) for n in spec.categorical]
  multi = [
    draw.integers(1, max(n, 2), (*shape, width))
    for n, width in spec.multi_valued
  ]
  empty = np.zeros((*shape, 0), np.int64)
  return types.Inputs(
    categorical=jnp.array(
      np.minimum(np.stack(categorical, -1), np.array(spec.categorical) - 1)
      if categorical
      else empty,
      jnp.int32,
    ),
    multi_valued=jnp.array(np.concatenate([empty, *multi], -1), jnp.int32),
    numeric=jnp.array(draw.uniform(0.5, 1.5, (*shape, spec.numeric))),
    segment=jnp.zeros(shape, jnp.int32),
  )

"""What a step of stage 1 does, counted from its jaxpr; nothing is computed."""

from __future__ import annotations

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import machine, scale_model
from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import models
from rmtl_jax.updates import state as state_lib
from rmtl_jax.weighting import factory

LANE = config_lib.BatchConfig().lane_length


@dataclasses.dataclass(frozen=True)
class Plan:
  """A job to plan for: a network, and fields with vocabularies."""

  backbone: str
  network: config_lib.NetworkConfig
  fields: tuple[int, ...]

  def spec(self) -> types.FeatureSpec:
    """The form of its features: one numeric field, two tasks."""
    return types.FeatureSpec(self.fields, (), 1, 2, item=0)

  def config(self, rows: int) -> config_lib.Config:
    """With batches of so many rows."""
    batch = config_lib.BatchConfig(lanes=rows // LANE)
    network = dataclasses.replace(
      self.network, first_layer='plain', expert_form='separate'
    )
    return config_lib.Config(
      backbone=self.backbone, network=network, batch=batch
    )


def forms(plan: Plan, rows: int) -> tuple[Any, Any, Any, Any]:
  """A step of stage 1, and the forms of its state, batch and key."""
  config, made = plan.config(rows), models.Models(plan.spec())
  optimizer = state_lib.make_optimizer(config.pretrain)
  weighting = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  key = jax.eval_shape(lambda: jax.random.key(0))

  def init(key):
    params = made.init_actor(config, key)
    return state_lib.init_actor(params, optimizer, weighting)

  def of(dtype: Any, *shape: int) -> Any:
    return jax.ShapeDtypeStruct((rows // LANE, LANE, *shape), dtype)

  integer = of(jnp.int32)
  batch = types.Batch(
    inputs=types.Inputs(
      of(jnp.int32, len(plan.fields)),
      of(jnp.int32, 0),
      of(jnp.float32, 1),
      integer,
      integer,
    ),
    labels=of(jnp.float32, 2),
    mask=of(jnp.bool_),
    is_last=of(jnp.bool_),
    segment=integer,
    row=integer,
  )
  actor = jax.eval_shape(init, key)
  return made.pretrain(config).step, actor, batch, key


def count(plan: Plan, rows: int) -> tuple[scale_model.Job, scale_model.Work]:
  """What is trained, and the work of one device's rows in a step."""
  step, actor, batch, key = forms(plan, rows)
  found = machine.work(step, actor, batch, key)
  dense = sum(
    leaf.size
    for path, leaf in jax.tree.leaves_with_path(actor.params)
    if not state_lib.is_embedding(path)
  )
  job = scale_model.Job(
    fields=plan.fields,
    numeric=1,
    tasks=2,
    embedding_dim=plan.network.embedding_dim,
    dense=dense,
    adam=plan.network.embedding_adam,
  )
  numbers = sum(
    times * (np.prod(left) + np.prod(right) + _outputs(left, right, axes))
    for (left, right, axes), times in found.dots.items()
  )
  products = sum(found.dots.values())
  return job, scale_model.Work(found.flops, 4.0 * float(numbers), products)


def _outputs(left: Any, right: Any, axes: Any) -> float:
  """Numbers that a matrix product gives."""
  (own, other), batched = axes
  kept = [n for i, n in enumerate(left) if i not in own]
  free = [n for i, n in enumerate(right) if i not in (*other, *batched[1])]
  return float(np.prod(kept) * np.prod(free))

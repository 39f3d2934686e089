"""Prints the losses of some steps of every stage, on one mesh.

A process of its own: the number of devices is fixed before JAX starts.

  XLA_FLAGS=--xla_force_host_platform_device_count=8 \
    python -m tests.runtime.mesh_steps data:4,model:2 mmoe,ple rows,dense
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.runtime import mesh
from rmtl_jax.training import models
from rmtl_jax.updates import finetune, loop, state
from rmtl_jax.weighting import factory
from tests.updates import problem

LANES, LENGTH, STEPS = 16, 6, 3
# Fewer rows in a batch than in the tables of the first field and the list.
SPEC = types.FeatureSpec(
  (200, 20),
  ((300, 2),),
  1,
  2,
  names=('a', 'b', 'c'),
  item=0,
)


def settings(backbone: str, adam: str) -> config_lib.Config:
  """Of a run; dropout on, so that random numbers must agree too.

  Some backbones bring a further part along: separate critics, critics of
  members, a session encoder, or a lambda that is learnt.
  """
  encoder = 'target_attention' if backbone == 'shared_bottom' else 'none'
  return config_lib.Config(
    backbone=backbone,
    network=dataclasses.replace(
      problem.NETWORK,
      embedding_adam=adam,
      table_multiple=8,
      dropout=0.2,
      first_layer='auto',
      session_encoder=encoder,
    ),
    critic=config_lib.CriticConfig(
      form='separate' if backbone == 'ple' else 'shared',
      in_finetune='learning',
    ),
    batch=config_lib.BatchConfig(lanes=LANES, lane_length=LENGTH),
  )


def dispatch() -> tuple[loop.SlotRows, loop.Slots]:
  """Rows in the slots of STEPS batches; some slots are padding."""
  rng = np.random.default_rng(0)
  shape = (STEPS, LANES, LENGTH)
  mask = rng.random(shape) < 0.8
  categorical = [rng.integers(0, n, shape) for n in SPEC.categorical]
  inputs = types.Inputs(
    np.stack(categorical, -1).astype(np.int32),
    rng.integers(0, 300, (*shape, 2)).astype(np.int32),
    rng.normal(size=(*shape, 1)).astype(np.float32),
    time=np.broadcast_to(np.arange(LENGTH, dtype=np.int32), shape),
  )
  labels = (rng.random((*shape, 2)) < 0.5).astype(np.float32)
  slots = loop.Slots(
    np.where(mask, 0, -1).astype(np.int32),
    np.broadcast_to(np.arange(LENGTH) % 3 == 2, shape),
    np.where(mask, np.arange(LENGTH) // 3, -1).astype(np.int32),
  )
  return loop.SlotRows(inputs, labels), slots


def stages(
  made: models.Models, config: config_lib.Config
) -> Iterator[tuple[str, models.Loop, Any]]:
  """Each stage's program, and the state before its first step."""
  actor_params = made.init_actor(config, jax.random.key(1))
  critic_params = made.init_critic(config, jax.random.key(2), actor_params)
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  optimizers = [
    models.pretrain_optimizer(config),
    models.critic_optimizer(config),
    models.finetune_optimizer(config),
  ]
  weighting = factory.make_weighting(config.weighting)

  def pretrain(params):
    return state.init_actor(params, optimizers[0], unweighted)

  def critic(params):
    return state.init_critic(params, optimizers[1])

  def full(actor, critic):
    return finetune.init_finetune(
      state.init_actor(actor, optimizers[2], weighting),
      critic,
      optimizers[1],
      config.critic,
    )

  yield 'pretrain', made.pretrain(config), made.place(pretrain, actor_params)
  yield 'critic', made.train_critics(config), made.place(critic, critic_params)
  before = made.place(full, actor_params, critic_params)
  yield 'finetune', made.finetune(config), before


def run(layout: mesh.Layout | None, backbone: str, adam: str) -> dict[str, Any]:
  """What `figures` says of each stage."""
  config, found = settings(backbone, adam), {}
  made = models.Models(SPEC, layout)
  for stage, program, before in stages(made, config):
    columns, slots = dispatch()
    extras = ()
    if stage == 'critic':
      extras = (np.full((STEPS, LANES, LENGTH, 2), 0.3, np.float32),)
    inputs, count = (columns, extras, slots), np.int32(STEPS)
    if layout:
      inputs, count = layout.put_lanes(inputs), layout.put(count)
    found[stage] = figures(program, before, inputs, count)
  return found


def figures(
  program: models.Loop, before: Any, inputs: Any, count: Any
) -> dict[str, Any]:
  """Metrics of two dispatches, sums over the state, shares of tables."""
  metrics = []
  current = before
  for _ in range(2):
    current, sums = program(current, *inputs, count, jax.random.key(7))
    metrics.append({name: float(value) for name, value in sums.items()})
  shares = {
    leaf.addressable_shards[0].data.shape[-2] / leaf.shape[-2]
    for path, leaf in jax.tree.leaves_with_path(current)
    if state.is_embedding(path)
  }
  return {
    'metrics': metrics,
    'sums': [float(abs(np.asarray(x)).sum()) for x in jax.tree.leaves(current)],
    'shares': sorted(shares),
    'compiled': program._cache_size(),  # pyright: ignore
  }


def main(shape: str, backbones: str, adams: str) -> None:
  """Prints {'backbone adam': what `run` gives} as JSON."""
  layout = None if shape == 'one' else mesh.layout(mesh.parse(shape))
  found = {
    f'{backbone} {adam}': run(layout, backbone, adam)
    for backbone in backbones.split(',')
    for adam in adams.split(',')
  }
  print(json.dumps(found))


if __name__ == '__main__':
  main(*sys.argv[1:])

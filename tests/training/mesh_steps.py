"""Prints the losses of a few steps of every stage, on one mesh.

A process of its own: the number of devices is fixed before JAX starts.

  XLA_FLAGS=--xla_force_host_platform_device_count=8 \
    python -m tests.training.mesh_steps data:4,model:2 mmoe,ple rows,dense
"""

from __future__ import annotations

import dataclasses
import json
import sys

import jax
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import mesh, models
from rmtl_jax.updates import finetune, state
from rmtl_jax.weighting import factory
from tests.updates import problem

LANES, LENGTH, STEPS = 16, 6, 3
# Fewer rows in a batch than in the tables of the first field and the list.
SPEC = types.FeatureSpec(
  (200, 20), ((300, 2),), 1, 2, names=('a', 'b', 'c'), item=0
)


def settings(backbone: str, adam: str) -> config_lib.Config:
  """Of a run; dropout on, so that random numbers must agree too."""
  return config_lib.Config(
    backbone=backbone,
    network=dataclasses.replace(
      problem.NETWORK,
      embedding_adam=adam,
      table_multiple=8,
      dropout=0.2,
      first_layer='auto',
    ),
    critic=config_lib.CriticConfig(
      form='separate' if backbone == 'ple' else 'shared',
      members=2 if backbone == 'aitm' else 1,
    ),
    batch=config_lib.BatchConfig(lanes=LANES, lane_length=LENGTH),
  )


def batches() -> types.Batch:
  """STEPS batches on a leading axis; some slots are padding."""
  rng = np.random.default_rng(0)
  shape = (STEPS, LANES, LENGTH)
  mask = rng.random(shape) < 0.8
  segment = np.where(mask, np.arange(LENGTH) // 3, -1).astype(np.int32)
  return types.Batch(
    inputs=types.Inputs(
      np.stack(
        [rng.integers(0, n, shape) for n in SPEC.categorical], -1
      ).astype(np.int32),
      rng.integers(0, 300, (*shape, 2)).astype(np.int32),
      rng.normal(size=(*shape, 1)).astype(np.float32),
      segment,
    ),
    labels=(rng.random((*shape, 2)) < 0.5).astype(np.float32),
    mask=mask,
    is_last=np.broadcast_to(np.arange(LENGTH) % 3 == 2, shape),
    segment=segment,
    row=np.zeros(shape, np.int32),
  )


def starts(made: models.Models, config: config_lib.Config):
  """(stage, step, state before it, whether it wants the policy) of each."""
  actor_params = made.init_actor(config, jax.random.key(1))
  critic_params = made.init_critic(config, jax.random.key(2), actor_params)
  unweighted = factory.make_weighting(
    config_lib.WeightingConfig(name='constant')
  )
  actor = state.init_actor(
    actor_params, state.make_optimizer(config.pretrain), unweighted
  )
  critic = state.init_critic(critic_params, state.make_optimizer(config.critic))
  full = finetune.init_finetune(
    actor_params,
    critic_params,
    state.make_optimizer(config.finetune),
    state.make_optimizer(config.critic),
    factory.make_weighting(config.weighting),
    config,
  )
  yield 'pretrain', made.pretrain(config).step, actor, False
  yield 'critic', made.train_critics(config).step, critic, True
  yield 'finetune', made.finetune(config).step, full, False


def run(layout: mesh.Layout | None, backbone: str, adam: str) -> dict:
  """{stage: metrics of every step, and sums over the parameters after}."""
  config = settings(backbone, adam)
  found = {}
  for stage, step, before, wants in starts(models.Models(SPEC), config):
    extras = ()
    if wants:
      extras = (np.full((STEPS, LANES, LENGTH, 2), 0.3, np.float32),)
    inputs = (batches(), extras)
    if layout:
      step, before = layout.pinned(step), layout.put(before)
      inputs = layout.put_lanes(inputs, 1)

    @jax.jit
    def steps(before, inputs, step=step):
      def one(state, now):
        batch, extras = now
        key = jax.random.fold_in(jax.random.key(7), state.step)
        return step(state, batch, key, *extras)

      return jax.lax.scan(one, before, inputs)

    after, metrics = steps(before, inputs)
    found[stage] = {
      'metrics': {name: np.asarray(v).tolist() for name, v in metrics.items()},
      'sums': [float(abs(np.asarray(x)).sum()) for x in jax.tree.leaves(after)],
      'split': sorted(
        {
          leaf.addressable_shards[0].data.shape[-2] / leaf.shape[-2]
          for path, leaf in jax.tree.leaves_with_path(after)
          if state.is_embedding(path)
        }
      ),
    }
  return found


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

"""Small networks, inputs and parameters for the tests of this room."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.networks import (
  backbone_registry,
  from_settings,
  functional,
  layers,
)
from tests import paper

CONFIG = paper.network(
  embedding_dim=3,
  bottom_units=(5, 4),
  tower_units=(4, 3),
  num_experts=3,
  first_layer='plain',
)
LANES, SLOTS = 2, 3
# A backbone of each kind that the first layer knows: K networks of their own;
# groups and gates; a link behind the towers. Tables about what happens in the
# first layer run over these, other tables over all backbones.
FIRST_LAYERS = ('single_task', 'mmoe', 'esmm')


def spec(
  num_tasks: int = 2, *, numeric: bool = True, multi_valued: bool = True
) -> types.FeatureSpec:
  return types.FeatureSpec(
    categorical=(4, 6),
    multi_valued=((5, 3), (4, 2)) if multi_valued else (),
    numeric=2 if numeric else 0,
    num_tasks=num_tasks,
  )


def inputs(
  spec: types.FeatureSpec,
  seed: int = 0,
  lanes: int = LANES,
  slots: int = SLOTS,
) -> types.Inputs:
  """Random rows; every multi-valued field uses at least one slot."""
  rng = np.random.default_rng(seed)
  shape = (lanes, slots)
  multi = [np.zeros((*shape, 0), np.int32)]
  for size, width in spec.multi_valued:
    values = rng.integers(0, size, (*shape, width))
    unused = rng.random((*shape, width)) < 0.4
    unused[..., 0] = False
    multi.append(np.where(unused, -1, values).astype(np.int32))
  categorical = [
    rng.integers(0, size, shape).astype(np.int32) for size in spec.categorical
  ]
  return types.Inputs(
    np.stack(categorical, axis=-1)
    if categorical
    else np.zeros((*shape, 0), np.int32),
    np.concatenate(multi, axis=-1),
    rng.normal(size=(*shape, spec.numeric)).astype(np.float32),
  )


def params(network: functional.Network, seed: int = 0) -> dict[str, Any]:
  """Random parameters; biases are positive, so that few units are dead."""
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(network.init, jax.random.key(0))

  def draw(path, leaf):
    # Signs would cancel where tasks' units are added up.
    if path[-1].key.startswith(('bias', 'stitch', 'native')):
      values = rng.uniform(0.3, 1.0, size=leaf.shape)
    else:
      values = rng.normal(scale=0.6, size=leaf.shape)
    return jnp.asarray(values.astype(np.float32))

  return jax.tree_util.tree_map_with_path(draw, shapes)


def run_stacks(monkeypatch: Any, form: str) -> None:
  """Lets stacks run `separate` or `batched`, whatever the backend."""
  monkeypatch.setattr(layers, 'runs_separately', lambda: form == 'separate')


# Code that runs once need not be fast, and compiles in half the time.
jit = functools.partial(
  jax.jit, compiler_options={'xla_backend_optimization_level': 0}
)


def run(network: functional.Network, *args, dropout_key=None) -> np.ndarray:
  """`functional.apply` under jit."""
  function = jit(functools.partial(functional.apply, network))
  return np.asarray(function(*args, dropout_key=dropout_key))


def actions(num_tasks: int, seed: int = 0) -> np.ndarray:
  """Probabilities, f32[L, T, K]."""
  rng = np.random.default_rng(seed)
  return rng.uniform(size=(LANES, SLOTS, num_tasks)).astype(np.float32)


def named(
  name: str, **changes: Any
) -> tuple[functional.Network, tuple[np.ndarray, ...]]:
  """A network, with its arguments after the inputs.

  Args:
    name: of a backbone, or a critic's form.
    changes: settings other than those of CONFIG.
  """
  config = dataclasses.replace(CONFIG, **changes)
  if name in backbone_registry.BACKBONES:
    return from_settings.make_actor(spec(), name, config), ()
  critic = paper.critic(form=name)
  return from_settings.make_critic(spec(), config, critic), (actions(2),)

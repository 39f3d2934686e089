"""A tiny problem for the steps: rows, lanes, networks, optimizers."""

from __future__ import annotations

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.networks import from_settings, functional
from rmtl_jax.updates import finetune, loop, state
from rmtl_jax.weighting import chain
from tests import paper

SPEC = types.FeatureSpec(
  categorical=(7, 5),
  multi_valued=((4, 2),),
  numeric=1,
  num_tasks=2,
)
NETWORK = paper.network(
  embedding_dim=3,
  embedding_scale=0.5,
  bottom_units=(6, 5),
  tower_units=(4,),
  num_experts=2,
  first_layer='plain',
)
# Lanes have 6 slots: sessions of 7 to 14 rows are cut, 12 into two full ones.
LENGTHS = (3, 1, 9, 2, 14, 6, 5, 1, 12, 4, 2, 7)
LANE_LENGTH = 6
ROWS = sum(LENGTHS)

# Seeds whose outputs vary over the rows: small ReLU networks can be dead.
ACTOR_SEEDS = {'online': 3, 'target': 4}
CRITIC_SEEDS = {
  'shared': {'online': 4, 'target': 2},
  'separate': {'online': 2, 'target': 1},
}


def columns(seed: int = 0) -> loop.Columns:
  """Rows of random features and labels, on the device."""
  rng = np.random.default_rng(seed)
  tags = rng.integers(0, 4, (ROWS, 2))
  tags[rng.random(ROWS) < 0.4, 1] = -1
  click = rng.random(ROWS) < 0.5
  labels = np.stack([click, click & (rng.random(ROWS) < 0.5)], axis=1)
  inputs = types.Inputs(
    categorical=np.stack(
      [rng.integers(0, size, ROWS) for size in SPEC.categorical], axis=1
    ).astype(np.int32),
    multi_valued=tags.astype(np.int32),
    numeric=rng.normal(size=(ROWS, 1)).astype(np.float32),
  )
  return jax.device_put(loop.Columns(inputs, labels.astype(np.float32)))


def slots(lanes: int, lane_length: int = LANE_LENGTH) -> loop.Slots:
  """A plan over the rows, [S, L, T]."""
  config = paper.batch(lanes=lanes, lane_length=lane_length)
  starts = np.concatenate([[0], np.cumsum(LENGTHS)])
  return loop.Slots(*batches.Epoch(starts, (3,), 1, config).plan)


# Compiled as a whole: each of its parts alone would be compiled too.
_gather = jax.jit(loop.gather)


def batch(
  rows: loop.Columns, lanes: int = 14, lane_length: int = LANE_LENGTH
) -> types.Batch:
  """All rows in one batch."""
  plan = slots(lanes, lane_length)
  if len(plan.row) > 1:
    raise ValueError('expected one batch')
  one = jax.tree.map(lambda x: jnp.asarray(x[0]), plan)
  return _gather(rows, one)


def two_batches(rows: loop.Columns) -> list[types.Batch]:
  """All rows in two batches of the same shape."""
  plan = slots(lanes=7)
  if len(plan.row) != 2:
    raise ValueError('expected two batches')
  return [
    _gather(rows, jax.tree.map(lambda x, i=i: jnp.asarray(x[i]), plan))
    for i in range(2)
  ]


def in_slots(values: Any, one: types.Batch) -> jax.Array:
  """Values of rows [R, K] where the batch has these rows, [L, T, K]."""
  return jnp.asarray(values)[jnp.maximum(one.row, 0)]


@functools.cache
def actor(
  backbone: str = 'shared_bottom',
  dropout: float = 0.0,
  first_layer: str = 'plain',
) -> Any:
  """An actor's network."""
  network = dataclasses.replace(
    NETWORK, dropout=dropout, first_layer=first_layer
  )
  return from_settings.make_actor(SPEC, backbone, network)


@functools.cache
def critic(
  form: str = 'shared',
  head: str = 'neg_softplus',
  dropout: float = 0.0,
  first_layer: str = 'plain',
) -> Any:
  """The critics' network."""
  network = dataclasses.replace(
    NETWORK, dropout=dropout, first_layer=first_layer
  )
  config = paper.critic(form=form, head=head)
  return from_settings.make_critic(SPEC, network, config)


def actor_params(network: Any, which: str = 'online') -> Any:
  """Random parameters of an actor."""
  return lively(network, ACTOR_SEEDS[which])


def critic_params(network: Any, form: str, which: str = 'online') -> Any:
  """Random parameters of critics."""
  return lively(network, CRITIC_SEEDS[form][which])


def lively(network: Any, seed: int) -> Any:
  """Random parameters, biases and rows 0 of embeddings too."""
  rng = np.random.default_rng(seed)
  # Shapes alone: `init` would have to be compiled.
  shapes = jax.eval_shape(network.init, jax.random.key(0))

  def draw(path, leaf):
    values = 0.7 * rng.normal(size=leaf.shape)
    # Signs would cancel where tasks' units are added up.
    values = abs(values) if path[-1].key.startswith('stitch') else values
    return jnp.asarray(np.float32(values))

  return jax.tree.map_with_path(draw, shapes)


def assert_varies(values: Any) -> None:
  """Asserts that values of rows [R, K] differ: else they test little."""
  deviation = np.std(values, axis=0)
  assert np.all(deviation > 0.1), deviation


def recorder() -> optax.GradientTransformation:
  """An optimizer that moves nothing and keeps the gradient as its state."""
  return optax.GradientTransformation(
    # By numpy: jnp.zeros_like would be compiled for every shape.
    lambda params: jax.tree.map(
      lambda leaf: jnp.asarray(np.zeros(leaf.shape, leaf.dtype)), params
    ),
    lambda updates, state, params=None: (
      jax.tree.map(jnp.zeros_like, updates),
      updates,
    ),
  )


@functools.cache
def actor_outputs(backbone: str = 'shared_bottom') -> Any:
  """See `outputs`; of `actor(backbone)`."""
  return outputs(actor(backbone))


@functools.cache
def critic_outputs(form: str = 'shared', head: str = 'neg_softplus') -> Any:
  """See `outputs`; of `critic(form, head)`, whose actions are one more."""
  return outputs(critic(form, head))


def outputs(network: Any) -> Any:
  """(params, rows, cotangent, *args) -> (outputs [R, K], gradient).

  The rows stand in one lane, in order: no packing, no padding. The gradient
  is that of sum(cotangent * outputs) in the parameters.
  """

  @jax.jit
  def run(params, rows, cotangent, *args):
    inputs = jax.tree.map(lambda x: x[None], rows.inputs)
    lane_args = [x[None] for x in args]
    value, pullback = jax.vjp(
      lambda p: functional.apply(network, p, inputs, *lane_args)[0], params
    )
    return value, pullback(cotangent)[0]

  return run


def assert_trees_close(found: Any, expected: Any, **tolerance: Any) -> None:
  """Asserts that two trees of arrays agree, leaf by leaf."""
  flat = jax.tree.leaves_with_path(expected)
  assert jax.tree.structure(found) == jax.tree.structure(expected)
  for (path, leaf), other in zip(flat, jax.tree.leaves(found), strict=True):
    np.testing.assert_allclose(
      other, leaf, err_msg=jax.tree_util.keystr(path), **tolerance
    )


def assert_finite(tree: Any) -> None:
  """Asserts that no leaf holds NaN or infinity."""
  for path, leaf in jax.tree.leaves_with_path(tree):
    assert np.all(np.isfinite(leaf)), jax.tree_util.keystr(path)


def assert_all_moved(new_params: Any, params: Any) -> None:
  """Asserts that something in every leaf has another value."""
  for (path, new), old in zip(
    jax.tree.leaves_with_path(new_params), jax.tree.leaves(params), strict=True
  ):
    moved = np.any(np.asarray(new) != np.asarray(old))
    assert moved, jax.tree_util.keystr(path)


def finetuning(
  network: Any,
  critic: Any,
  config: config_lib.Config,
  optimizer: Any = None,
) -> Any:
  """Stage 3's step, and a function from (actor, critics) to its first state."""
  optimizer = optimizer or recorder()
  weighting = chain.make_weighting(config.weighting)
  step = finetune.make_finetune_step(
    network, optimizer, weighting, config, critic, optimizer
  )

  def init(actor_params, critic_params):
    actor = state.init_actor(actor_params, optimizer, weighting, 2)
    return finetune.init_finetune(
      actor, critic_params, optimizer, config.critic
    )

  return step, init

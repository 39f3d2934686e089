"""Compiles what a new run will call, while it trains what it has.

Programs of later stages and members need shapes alone, which are known from
the start. XLA compiles without Python's lock, so that a second core compiles
one program while the first one compiles or runs another.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import os
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import checkpoints
from rmtl_jax.training import actor_stage, critic_stage
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import ahead, conflicts, loop
from rmtl_jax.weighting import registry, tuners

# A program, and what gives the arguments of its calls, or their shapes.
_Job = tuple[ahead.Compiled, Callable[[], tuple[Any, ...]]]


@contextlib.contextmanager
def threads() -> Iterator[concurrent.futures.Executor]:
  """Threads that compile; what they have not begun at the end is dropped."""
  count = max((os.cpu_count() or 1) // 2, 1)
  pool = concurrent.futures.ThreadPoolExecutor(min(count, 4), 'compiler')
  try:
    yield pool
  finally:
    pool.shutdown(cancel_futures=True)


def can(splits: Mapping[str, splits_lib.Split]) -> bool:
  """Whether shapes are known: the rows are on one device."""
  return all(one.device is not None for one in splits.values())


def compile_ahead(
  pool: concurrent.futures.Executor,
  contexts: Collection[context_lib.Context],
  stages: Collection[str],
) -> None:
  """Has all programs compiled, in the order in which a run asks for them.

  Args:
    pool: from `threads`.
    contexts: of the run's members, in turn.
    stages: that it trains.
  """

  def submit(context: context_lib.Context) -> None:
    for program, arguments in _jobs(context, stages):
      program.compile_ahead(pool, arguments)

  # Building a program takes a moment too.
  for context in contexts:
    pool.submit(submit, context)


def compile_predictions_ahead(
  pool: concurrent.futures.Executor,
  context: context_lib.Context,
  shapes: Callable[[], Any],
) -> None:
  """Has an ensemble's predictions compiled, after what is asked for already.

  Args:
    pool: from `threads`.
    context: of the run.
    shapes: of the joined parameters, where they will be.
  """
  program = context.models.policy_map(context.config)

  def arguments():
    return shapes(), *_lanes(context.validation)

  pool.submit(program.compile_ahead, pool, arguments)


def _jobs(
  context: context_lib.Context, stages: Collection[str]
) -> Iterator[_Job]:
  """The programs of one model's stages."""
  if 'pretrain' in stages:
    yield from _pretrain(context)
  if 'critic' in stages and _needs_critics(context.config):
    yield from _critic(context)
  if 'finetune' in stages:
    yield from _finetune(context)


def _needs_critics(config: config_lib.Config) -> bool:
  return registry.find(config.weighting.name).needs_critics


def _pretrain(context: context_lib.Context) -> Iterator[_Job]:
  models, config = context.models, context.config

  def first_pass():
    actor, _ = models.shapes(config)
    start = jax.eval_shape(actor_stage.init_pretrain(context), actor)
    return placed(start), *_lanes(context.train), context.key('pretrain')

  def policy():
    actor, _ = models.shapes(config)
    return placed(actor), *_lanes(context.validation)

  def compared():
    actor, _ = models.shapes(config)
    step = _array((), jnp.int32)
    lanes = _lanes(context.train, steps=len(context.sample.row))
    looked = conflicts.Looked(placed(actor), step)
    return looked, *lanes, context.key('pretrain')

  yield models.pretrain(config).compiled, first_pass
  yield models.policy_map(config), policy
  program = models.conflicts(config) if context.compares_gradients else None
  if program is not None:
    yield program.compiled, compared


def _critic(context: context_lib.Context) -> Iterator[_Job]:
  models, config = context.models, context.config
  beside = 2 if config.critic.behaviour == 'uniform' else 1

  def first_pass():
    _, critic = models.shapes(config)
    start = jax.eval_shape(critic_stage.init_state(config), critic)
    lanes = _lanes(context.train, beside)
    return placed(start), *lanes, context.key('critic')

  def errors():
    _, critic = models.shapes(config)
    params = placed((critic, critic))
    lanes = _lanes(context.validation, beside)
    return (*params, context.key('critic')), *lanes

  def values():
    _, critic = models.shapes(config)
    return placed(critic), *_lanes(context.validation, 1)

  yield models.train_critics(config).compiled, first_pass
  yield models.td_errors(config), errors
  yield models.value_map(config), values


def _finetune(context: context_lib.Context) -> Iterator[_Job]:
  models = context.models
  for name in actor_stage.weightings(context.config).values():
    config = actor_stage.with_weighting(context.config, name)
    # A tuner has rows of its own, and some weightings wait for the critics.
    takes_means = registry.find(name).takes == registry.MEANS
    if tuners.chosen(config.weighting) or takes_means:
      continue

    def first_pass(config=config):
      actor, critic = models.shapes(config)
      init = actor_stage.init_finetune(context, config)
      used = critic if _needs_critics(context.config) else ()
      start = jax.eval_shape(init, actor, used)
      return placed(start), *_lanes(context.train), context.key('finetune')

    yield models.finetune(config).compiled, first_pass


def _lanes(
  split: splits_lib.Split, beside: int = 0, steps: int | None = None
) -> tuple[Any, ...]:
  """Columns, extras, slots and count of a dispatch, as training/feed.py does.

  Args:
    split: on the device.
    beside: number of arrays beside the columns.
    steps: of the dispatch, if not those of the settings.
  """
  config, columns = split.config, split.device
  assert columns is not None
  size = steps or config.steps_per_dispatch
  shape = (size, config.lanes, config.lane_length)
  labels = _array(columns.labels.shape, jnp.float32)
  slots = loop.Slots(*(_array(shape, t) for t in (jnp.int32, bool, jnp.int32)))
  return columns, (labels,) * beside, slots, _array((), jnp.int32)


def placed(shapes: Any) -> Any:
  """Shapes of what is where Models.place puts it."""
  place = checkpoints.one_device()
  return jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=place), shapes
  )


def _array(shape: tuple[int, ...], dtype: Any) -> Any:
  """What stands for an array while programs are compiled."""
  return jax.ShapeDtypeStruct(shape, dtype)

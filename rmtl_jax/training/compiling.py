"""Compiles what a new run will call, while it trains what it has.

Programs of later stages and members need shapes alone, which are known from
the start. XLA compiles without Python's lock, so that a second core compiles
one program while the first one compiles or runs another. But all programs take
turns in one queue of XLA's, so that a small one waits seconds behind a large
one that another thread has begun. Many small ones make the state in which a
stage begins: the thread makes one too, before it turns to the stage's own.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import functools
import os
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.networks import critic as critic_network
from rmtl_jax.runtime import checkpoints, stages
from rmtl_jax.runtime import programs as runtime_programs
from rmtl_jax.training import actor_stage, critic_stage, programs
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import ahead, conflicts, loop
from rmtl_jax.weighting import registry

# A program, and what gives the arguments of its calls, or their shapes.
_Job = tuple[ahead.Compiled | programs.Program, Callable[[], tuple[Any, ...]]]


@contextlib.contextmanager
def threads() -> Iterator[concurrent.futures.Executor]:
  """Threads that compile; what they have not begun at the end is dropped."""
  count = max((os.cpu_count() or 1) // 2, 1)
  pool = concurrent.futures.ThreadPoolExecutor(
    min(count, 4), 'compiler', initializer=runtime_programs.enter_32_bits
  )
  try:
    yield pool
  finally:
    pool.shutdown(cancel_futures=True)


def can(splits: Mapping[str, splits_lib.Split]) -> bool:
  """Whether shapes are known: the rows are on one device."""
  return all(one.device is not None for one in splits.values())


def compile_ahead(
  pool: concurrent.futures.Executor,
  models: Sequence[tuple[context_lib.Context, Collection[str]]],
) -> None:
  """Has all programs compiled, in the order in which a run asks for them.

  Args:
    pool: from `threads`.
    models: that it trains in turn, each with its stages.
  """

  def submit(
    context: context_lib.Context, wanted: Collection[str], is_first: bool
  ) -> None:
    begins = _begins(context)
    needs_critics = registry.needs_critics(context.config.weighting.name)
    for name, jobs in _JOBS.items():
      has_it = needs_critics or not stages.trains_critics(name)
      if name not in wanted or not has_it:
        continue
      if not is_first:  # the run itself begins at once
        pool.submit(begins[name])
      is_first = False
      for program, arguments in jobs(context):
        program.compile_ahead(pool, arguments)

  # Building a program takes a moment too.
  for number, (context, wanted) in enumerate(models):
    pool.submit(submit, context, wanted, number == 0)


def compile_predictions_ahead(
  pool: concurrent.futures.Executor,
  context: context_lib.Context,
  shapes: Callable[[], Any],
) -> None:
  """Has an ensemble's predictions compiled, after what is asked for already."""
  program = context.models.policy_map(context.config)

  def arguments():
    return shapes(), *_lanes(context.validation)

  pool.submit(program.compile_ahead, pool, arguments)


def _begins(context: context_lib.Context) -> dict[str, Callable[[], object]]:
  """What makes each stage's first state; its parameters are dropped."""
  models, config = context.models, context.config
  key = jax.random.key(config.seed)

  @functools.cache
  def actor():
    return models.init_actor(config, key)

  @functools.cache
  def critic():
    if not registry.needs_critics(config.weighting.name):
      return ()
    params = models.init_critic(config, key, actor())
    returns = -np.ones(len(context.tasks))
    return critic_network.with_initial_values(
      params, returns, config.critic.head
    )

  def pretrain():
    models.place(actor_stage.init_pretrain(context), actor())

  def critics():
    models.place(critic_stage.init_state(config), critic())

  def finetune():
    for arm in _arms(config):
      init = actor_stage.init_finetune(context, arm)
      models.place(init, actor(), critic())

  return {'pretrain': pretrain, 'critic': critics, 'finetune': finetune}


def _arms(config: config_lib.Config) -> Iterator[config_lib.Config]:
  """Settings of the arms of stage 3 that can be compiled from shapes."""
  for name in actor_stage.weightings(config).values():
    # Some weightings wait for the critics.
    if registry.find(name).takes != registry.MEANS:
      yield actor_stage.with_weighting(config, name)


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

  yield models.pretrain(config), first_pass
  yield models.policy_map(config), policy
  program = models.conflicts(config) if context.compares_gradients else None
  if program is not None:
    yield program, compared


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

  yield models.train_critics(config), first_pass
  yield models.td_errors(config), errors
  yield models.value_map(config), values


def _finetune(context: context_lib.Context) -> Iterator[_Job]:
  models = context.models
  for config in _arms(context.config):

    def first_pass(config=config):
      actor, critic = models.shapes(config)
      init = actor_stage.init_finetune(context, config)
      needs_critics = registry.needs_critics(context.config.weighting.name)
      used = critic if needs_critics else ()
      start = jax.eval_shape(init, actor, used)
      return placed(start), *_lanes(context.train), context.key('finetune')

    yield models.finetune(config), first_pass


# In the order in which a run comes to them.
_JOBS = {'pretrain': _pretrain, 'critic': _critic, 'finetune': _finetune}


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

"""The compiled loops of all stages, ready to be timed."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.training import actors, critics, feed, split_data
from rmtl_jax.training import context as context_lib
from rmtl_jax.updates import loop as loop_lib


class Loop:
  """A stage's own loop over some steps of an epoch's plan.

  Attributes:
    stage: its name.
    steps: of one call.
    rows: of one step, the mean.
  """

  def __init__(
    self,
    stage: str,
    program: Any,
    state: Any,
    context: context_lib.Context,
    steps: int,
    extras: tuple[Any, ...] = (),
  ):
    """Compiles nothing yet.

    Args:
      stage: `pretrain`, `critic` or `finetune`.
      program: of the stage.
      state: where it begins.
      context: of the run.
      steps: of one call, at most.
      extras: arrays beside the split's rows.
    """
    self.stage = stage
    slots, self.steps = feed.chunks(context.epoch(stage, 1).plan, steps)[0]
    self.rows = np.count_nonzero(slots.row >= 0) / self.steps
    self._slots, self._state = jax.device_put(slots), state
    self._program, self._extras = program, extras
    self._data, self._key = context.train.device, context.draws(stage)

  def __call__(self) -> Any:
    """Goes on where the last call ended; gives the new state."""
    self._state, _ = self._program(
      self._state,
      self._data,
      self._extras,
      self._slots,
      np.int32(self.steps),
      self._key,
    )
    return self._state

  def work(self) -> machine.Work:
    """Of one step."""
    one = jax.tree.map(lambda x: x[0], self._slots)
    assert self._data is not None
    batch = loop_lib.gather(self._data, one)
    at_rows = tuple(x[np.maximum(one.row, 0)] for x in self._extras)
    return machine.work(
      self._program.step, self._state, batch, self._key, *at_rows
    )

  @property
  def optimized(self) -> int:
    """Parameters that a step's Adam updates: one set of moments each."""
    return sum(
      leaf.size
      for path, leaf in jax.tree.leaves_with_path(self._state)
      if any(getattr(entry, 'name', '') == 'mu' for entry in path)
    )


def of_stages(
  log: workload.Workload,
  config: config_lib.Config,
  split: split_data.Split,
  steps: int,
) -> Iterator[Loop]:
  """The loops of stage 1, stage 2, and stage 3 with frozen and other critics.

  Args:
    log: the rows' form.
    config: of the run.
    split: its rows.
    steps: of one call.
  """
  context = workload.context(log, config, split)
  arm = actors.pretrain(context)['pretrain']
  params = arm.best
  yield Loop('pretrain', arm.program, arm.state, context, steps)
  policies = critics.policies(context, params)
  arm = critics.start(context, params, policies)['critic']
  beside = critics.extras(context, split, policies.train)
  yield Loop('critic', arm.program, arm.state, context, steps, beside)
  for critics_do in ('frozen', 'learning'):
    context.config = dataclasses.replace(
      config, critic=dataclasses.replace(config.critic, in_finetune=critics_do)
    )
    policies = critics.policies(context, params)
    arm = critics.start(context, params, policies)['critic']
    arm = actors.finetune(context, {'finetune': 'critic'}, params, arm.params)[
      'finetune'
    ]
    loop = Loop('finetune', arm.program, arm.state, context, steps)
    loop.stage = f'finetune, critics {critics_do}'
    yield loop

"""What every loss balancer costs in a step of stage 1.

    python -m benchmarks.balancers --backbone=mmoe --tasks=3 \
      --output=benchmarks/results/balancers.json

The log is benchmarks/workload.py's, with K tasks; sizes are the defaults. Of
each balancer the compiled loop of stage 1 takes turns with that of `equal`,
with one of forward passes and with one of forward and backward passes, so that
all ratios are medians of paired ones. Gathering of batches is in all of them;
the optimizer is in steps alone.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.balancing import registry
from rmtl_jax.training import actor_stage, feed
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import forward as forward_lib
from rmtl_jax.updates import loop as loop_lib
from rmtl_jax.updates import weighted_grad

# Of one repetition: a dispatch that returns arrays.
Dispatch = Callable[[], Any]
FORWARD, BOTH, EQUAL, OWN = 'forward', 'forward and backward', 'equal', 'own'


class PassState(NamedTuple):
  """What a loop of passes carries.

  Attributes:
    params: of the network.
    gradient: the last one, so that none is left out.
    step: i32[].
  """

  params: Any
  gradient: Any
  step: jax.Array


def dispatch_of(
  loop: Callable[..., Any], state: Any, context: context_lib.Context, steps: int
) -> Dispatch:
  """`steps` steps of a loop over the first epoch's batches; they go on."""
  slots, count = feed.chunks(context.epoch('pretrain', 1).plan, steps)[0]
  slots = jax.device_put(slots)
  key = context.key('pretrain')
  current = [state]

  def dispatch():
    current[0], sums = loop(
      current[0], context.train.device, (), slots, np.int32(count), key
    )
    return current[0], sums

  return dispatch


def passes(
  context: context_lib.Context, params: Any, has_backward: bool
) -> tuple[Callable[..., Any], PassState]:
  """A loop of forward passes, with or without backward ones, and its state."""
  network = context.models.actor(context.config)

  def step(state, batch, key):
    rows = weighted_grad.differentiate(
      lambda params: forward_lib.actor_losses(network, params, batch, key)[:2],
      state.params,
      batch.mask,
    )
    gradient = state.gradient
    if has_backward:
      gradient = rows.pullback(rows.mean_cotangent)
    new_state = PassState(state.params, gradient, state.step + 1)
    return new_state, {'loss': jnp.sum(rows.losses)}

  first = jax.tree.map(jnp.copy, params)
  zeros = jax.tree.map(jnp.zeros_like, params) if has_backward else ()
  return loop_lib.make_loop(step), PassState(
    first, zeros, jnp.zeros((), jnp.int32)
  )


def step_of(context: context_lib.Context, steps: int) -> tuple[Dispatch, float]:
  """Stage 1's own dispatch, and the balancer's state in MiB."""
  arm = actor_stage.pretrain(context).arms['pretrain']
  leaves = jax.tree.leaves(arm.state.balancing_state)
  mebibytes = sum(leaf.nbytes for leaf in leaves) / 2**20
  return dispatch_of(arm.program.loop, arm.state, context, steps), mebibytes


def figures(
  name: str, tasks: int, times: Mapping[str, Sequence[float]]
) -> dict[str, Any]:
  """A balancer's row, from seconds per step of runs that took turns.

  Args:
    name: of the balancer.
    tasks: K.
    times: of FORWARD, BOTH, EQUAL and OWN, a number per repetition.

  Returns:
    Milliseconds, and medians of ratios within a repetition: to `equal`, and to
    the passes alone, as many as the balancer has.
  """
  record = registry.find(name)
  backward = 1
  if record.acts_on == registry.GRADIENTS:
    backward = tasks * record.groups
  # One that observes losses after the step has a forward pass for it.
  forward = 1 if record.observe is None else 2
  bounds = [
    forward * f + backward * (both - f)
    for f, both in zip(times[FORWARD], times[BOTH], strict=True)
  ]
  return {
    'balancer': name,
    'forward': forward,
    'backward': backward,
    'milliseconds': 1e3 * statistics.median(times[OWN]),
    'to_equal': _ratio(times[OWN], times[EQUAL]),
    'to_passes': _ratio(times[OWN], bounds),
    'equal_to_passes': _ratio(times[EQUAL], times[BOTH]),
  }


def _ratio(above: Sequence[float], below: Sequence[float]) -> float:
  """The median of ratios of pairs."""
  return statistics.median(a / b for a, b in zip(above, below, strict=True))


def measure(
  names: Sequence[str],
  backbone: str,
  tasks: int,
  rows: int,
  steps: int,
  repetitions: int,
) -> list[dict[str, Any]]:
  """A row per balancer.

  Args:
    names: of balancers.
    backbone: of the actor.
    tasks: K.
    rows: of the log.
    steps: of a dispatch.
    repetitions: dispatches of each run.
  """
  log = workload.Workload(rows=rows, tasks=tasks)
  config = config_lib.Config(backbone=backbone)
  split = splits_lib.place(log.columns(), config.batch)

  def context_of(name):
    balancing = config_lib.BalancingConfig(name=name)
    stage = dataclasses.replace(config.pretrain, balancing=balancing)
    return workload.context(
      log, dataclasses.replace(config, pretrain=stage), split
    )

  equal = context_of('equal')
  params = equal.init_actor()
  # As many as a dispatch has, which a short log cuts.
  count = feed.chunks(equal.epoch('pretrain', 1).plan, steps)[0][1]
  shared = {
    name: dispatch_of(*passes(equal, params, has_backward), equal, steps)
    for name, has_backward in ((FORWARD, False), (BOTH, True))
  } | {EQUAL: step_of(equal, steps)[0]}
  found = []
  for name in names:
    own, mebibytes = step_of(context_of(name), steps)
    times = machine.interleaved({**shared, OWN: own}, repetitions)
    per_step = {
      run: [seconds / count for seconds in own] for run, own in times.items()
    }
    found.append(
      {
        **figures(name, tasks, per_step),
        'forward_milliseconds': 1e3 * statistics.median(per_step[FORWARD]),
        'passes_milliseconds': 1e3 * statistics.median(per_step[BOTH]),
        'equal_milliseconds': 1e3 * statistics.median(per_step[EQUAL]),
        'state_mebibytes': mebibytes,
      }
    )
    print(f'{name} done', flush=True)
  return found


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values = flags.FLAGS
  found = measure(
    values.balancers,
    values.backbone,
    values.tasks,
    values.rows,
    values.steps,
    values.repetitions,
  )
  print(machine.table(found))
  machine.write(
    values.output,
    {
      'benchmark': 'balancers',
      'unit': 'milliseconds of a step of stage 1; ratios to a step of equal'
      ' weights, and to the forward and backward passes alone',
      'backbone': values.backbone,
      'tasks': values.tasks,
      'rows': values.rows,
      'steps': values.steps,
      'repetitions': values.repetitions,
      'figures': found,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_string('backbone', 'mmoe', 'Of the actor.')
  flags.DEFINE_integer('tasks', 3, 'K.')
  flags.DEFINE_integer('rows', 100_000, 'Rows of the log.')
  flags.DEFINE_integer('steps', 8, 'Steps of one dispatch.')
  flags.DEFINE_integer('repetitions', 5, 'Dispatches of each run.')
  flags.DEFINE_list('balancers', list(registry.RECORDS), 'Comma-separated.')
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)

"""What every loss balancer costs in a step of stage 1: time and memory.

    python -m benchmarks.balancers --backbone=mmoe --tasks=3 \
      --output=benchmarks/results/balancers.json

The log is benchmarks/workload.py's, with K tasks; sizes are the defaults. Of
each balancer the compiled loop of stage 1 takes turns with that of `equal`,
with one of forward passes and with one of forward and backward passes, so that
all ratios are medians of paired ones. Gathering of batches is in all of them;
the optimizer is in steps alone. Ratios of CPU seconds (of the process, all
threads) hold on a machine that others use too; `--more` adds to the figures
that the output has.

Memory is what XLA says that the compiled loop needs: arguments (parameters,
moments, the balancer's state, the log), results that are no arguments, and
temporary arrays.

The passes that gradients at the representation would save are those below it:
`towers` has the backward passes to parameters that one task has alone.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax import json_files
from rmtl_jax.balancing import registry
from rmtl_jax.training import actor_stage, feed
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib
from rmtl_jax.updates import forward as forward_lib
from rmtl_jax.updates import loop as loop_lib
from rmtl_jax.updates import shared as shared_lib
from rmtl_jax.updates import weighted_grad

FORWARD, BOTH, EQUAL, OWN = 'forward', 'forward and backward', 'equal', 'own'
TOWERS = 'forward and backward in towers'
_RATIOS = ('to_equal', 'to_passes', 'equal_to_passes')


class Run(NamedTuple):
  """A compiled loop, and what it needs.

  Attributes:
    dispatch: runs it once, and returns arrays.
    mebibytes: of memory, by XLA's account.
    state_mebibytes: of the balancer's state.
  """

  dispatch: Callable[[], Any]
  mebibytes: float
  state_mebibytes: float = 0.0


class PassState(NamedTuple):
  """What a loop of passes carries.

  Attributes:
    params: of the network.
    gradient: leaves of the last one, so that none of them is left out.
    step: i32[].
  """

  params: Any
  gradient: Any
  step: jax.Array


def run_of(
  loop: Any, state: Any, context: context_lib.Context, steps: int
) -> Run:
  """`steps` steps of a loop over the first epoch's batches; they go on."""
  slots, count = feed.chunks(context.epoch('pretrain', 1).plan, steps)[0]
  rest = (
    context.train.device,
    (),
    jax.device_put(slots),
    np.int32(count),
    context.key('pretrain'),
  )
  compiled = loop.lower(state, *rest).compile()
  current = [state]

  def dispatch():
    current[0], sums = compiled(current[0], *rest)
    return current[0], sums

  return Run(dispatch, _mebibytes(compiled))


def _mebibytes(compiled: Any) -> float:
  """What a compiled program needs, donated arguments counted once."""
  found = compiled.memory_analysis()
  return (
    found.argument_size_in_bytes
    + found.output_size_in_bytes
    - found.alias_size_in_bytes
    + found.temp_size_in_bytes
  ) / 2**20


def passes(
  context: context_lib.Context,
  params: Any,
  wanted: Callable[[Any], Sequence[Any]],
) -> tuple[Callable[..., Any], PassState]:
  """A loop of forward passes and of backward ones as far as they are wanted.

  Args:
    context: of a run.
    params: of its actor.
    wanted: which leaves, of a tree like the parameters.
  """
  network = context.models.actor(context.config)

  def step(state, batch, key):
    rows = weighted_grad.differentiate(
      lambda params: forward_lib.actor_losses(network, params, batch, key),
      state.params,
      batch.mask,
    )
    # XLA leaves out what leads to other leaves alone.
    gradient = wanted(rows.pullback(rows.mean_cotangent))
    new_state = PassState(state.params, gradient, state.step + 1)
    return new_state, {'loss': jnp.sum(rows.losses)}

  first = jax.tree.map(jnp.copy, params)
  zeros = jax.tree.map(jnp.zeros_like, wanted(params))
  return loop_lib.make_loop(step), PassState(
    first, zeros, jnp.zeros((), jnp.int32)
  )


def passes_of(
  context: context_lib.Context, params: Any, steps: int
) -> dict[str, Run]:
  """Passes without a backward one, with that of towers alone, with all."""
  config = context.config
  shared = jax.tree.leaves(
    shared_lib.shared_parameters(
      context.models.spec, config.backbone, config.network
    )
  )

  def own_of_a_task(tree):
    leaves = jax.tree.leaves(tree)
    return [
      leaf
      for leaf, mask in zip(leaves, shared, strict=True)
      if not np.any(mask)
    ]

  wanted = {FORWARD: lambda tree: [], TOWERS: own_of_a_task}
  wanted[BOTH] = jax.tree.leaves
  return {
    name: run_of(*passes(context, params, leaves), context, steps)
    for name, leaves in wanted.items()
  }


def step_of(context: context_lib.Context, steps: int) -> Run:
  """Stage 1's own loop."""
  arm = actor_stage.pretrain(context).arms['pretrain']
  leaves = jax.tree.leaves(arm.state.balancing_state)
  # Before the loop: it donates them.
  mebibytes = sum(leaf.nbytes for leaf in leaves) / 2**20
  run = run_of(arm.program, arm.state, context, steps)
  return run._replace(state_mebibytes=mebibytes)


def in_turn(
  runs: Mapping[str, Run], repetitions: int
) -> tuple[dict[str, list[float]], dict[str, list[float]]]:
  """Seconds, and CPU seconds of all threads, of dispatches in turn."""
  cpu: dict[str, list[float]] = {name: [] for name in runs}

  def timed(name):
    begin = time.process_time()
    found = jax.block_until_ready(runs[name].dispatch())
    cpu[name].append(time.process_time() - begin)
    return found

  wall = machine.interleaved(
    {name: lambda name=name: timed(name) for name in runs}, repetitions
  )
  # The first one warms up.
  return wall, {name: times[1:] for name, times in cpu.items()}


def at_representation(
  tasks: int, times: Mapping[str, Sequence[float]]
) -> dict[str, float]:
  """Passes with K backward ones through towers alone, and one through all.

  Gradients at a representation need their own, too; so it is at best.

  Args:
    tasks: K.
    times: of FORWARD, TOWERS and BOTH, a number per repetition.

  Returns:
    What a backward pass of towers takes of one, and these passes of those with
    K backward passes through all; medians of ratios within a repetition.
  """
  triples = list(zip(times[FORWARD], times[TOWERS], times[BOTH], strict=True))
  return {
    'towers_of_backward': statistics.median(
      (towers - f) / (both - f) for f, towers, both in triples
    ),
    'passes_at_representation': statistics.median(
      (f + tasks * (towers - f) + both - f) / (f + tasks * (both - f))
      for f, towers, both in triples
    ),
  }


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
) -> tuple[list[dict[str, Any]], dict[str, float]]:
  """A row per balancer, and what `at_representation` says.

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
  alone = passes_of(equal, params, steps)
  _, cpu = in_turn(alone, repetitions)
  representation = at_representation(tasks, cpu)
  runs = {FORWARD: alone[FORWARD], BOTH: alone[BOTH]}
  runs[EQUAL] = step_of(equal, steps)
  found = []
  for name in names:
    runs[OWN] = step_of(context_of(name), steps)
    wall, cpu = in_turn(runs, repetitions)
    by_cpu = figures(name, tasks, cpu)
    medians = {run: statistics.median(times) for run, times in wall.items()}
    found.append(
      {
        **figures(name, tasks, wall),
        **{f'cpu_{figure}': by_cpu[figure] for figure in _RATIOS},
        'milliseconds': 1e3 * medians[OWN] / count,
        'forward_milliseconds': 1e3 * medians[FORWARD] / count,
        'passes_milliseconds': 1e3 * medians[BOTH] / count,
        'equal_milliseconds': 1e3 * medians[EQUAL] / count,
        'mebibytes': runs[OWN].mebibytes,
        'equal_mebibytes': runs[EQUAL].mebibytes,
        'state_mebibytes': runs[OWN].state_mebibytes,
        'load': os.getloadavg()[0],
      }
    )
    print(f'{name} done', flush=True)
  return found, representation


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values = flags.FLAGS
  found, representation = measure(
    values.balancers,
    values.backbone,
    values.tasks,
    values.rows,
    values.steps,
    values.repetitions,
  )
  if values.more:
    found = json_files.read(values.output)['figures'] + found
  print(machine.table(found))
  machine.write(
    values.output,
    {
      'benchmark': 'balancers',
      'unit': 'milliseconds of a step of stage 1; ratios to a step of equal'
      ' weights, and to the forward and backward passes alone; MiB; load of'
      ' the machine over the last minute',
      'backbone': values.backbone,
      'tasks': values.tasks,
      'rows': values.rows,
      'steps': values.steps,
      'repetitions': values.repetitions,
      'representation': representation,
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
  flags.DEFINE_bool('more', False, 'Add to the figures of the output.')


if __name__ == '__main__':
  define_flags()
  app.run(main)

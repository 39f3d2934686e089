"""Seeds trained together in one program against one after the other.

    python -m benchmarks.population --output=benchmarks/results/population.json

Each figure is one pass of stage 1 over simulated rows: P members one after the
other by the compiled loop of one, then all of them by the population's loop,
in alternation, the median of the repetitions. The ratio is that of the pairs.
"""

from __future__ import annotations

import dataclasses
import json
import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
from absl import app, flags

from rmtl_jax import config as config_lib
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import columns, manifest, manifest_file
from rmtl_jax.preparation import prepare
from rmtl_jax.runtime import progress, provenance
from rmtl_jax.studies import population
from rmtl_jax.training import actor_stage, feed, models, stage, trainer
from rmtl_jax.training import context as context_lib
from rmtl_jax.training import splits as splits_lib

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_ROWS = flags.DEFINE_integer('rows', 60_000, 'Rows to simulate.')
_MEMBERS = flags.DEFINE_multi_integer('members', [2, 4, 8], 'P; repeatable.')
_REPETITIONS = flags.DEFINE_integer('repetitions', 5, 'Pairs of a ratio.')

SIZES = {
  'tiny': config_lib.NetworkConfig(
    embedding_dim=4, bottom_units=(16,), tower_units=(8,), num_experts=2
  ),
  'small': config_lib.NetworkConfig(
    embedding_dim=16,
    bottom_units=(128, 64),
    tower_units=(64, 32),
    num_experts=4,
  ),
}
BACKBONES = ('shared_bottom', 'ple')
QUIET = progress.Progress(quiet=True)


def measure(
  data: dict[str, splits_lib.Split],
  described: manifest.Manifest,
  config: config_lib.Config,
  members: int,
) -> dict[str, Any]:
  """Seconds of one pass of every member, one by one and together."""
  made = models.Models(described.feature_spec())
  stages = [
    actor_stage.pretrain(
      context_lib.Context(
        dataclasses.replace(config, seed=seed),
        described.task_names,
        data['train'],
        data['validation'],
        made,
        QUIET,
      )
    )
    for seed in range(members)
  ]
  passes = [one.passes()[0] for one in stages]
  steps = config.batch.steps_per_dispatch

  def alone(one: stage.Pass, state: Any) -> Any:
    dispatches = feed.dispatches(data['train'], one.plan, steps)
    found = trainer.run_epoch(one.program, state, dispatches, one.key, QUIET)
    return found[0]

  def one_by_one(states):
    return [alone(*each) for each in zip(passes, states, strict=True)]

  def together(states):
    now = [
      one._replace(state=state)
      for one, state in zip(passes, states, strict=True)
    ]
    return population.run_epochs(now, data['train'], steps, QUIET)[0]

  forms = {'one_by_one': one_by_one, 'together': together}
  states = {
    name: [jax.tree.map(lambda x: x.copy(), one.state) for one in passes]
    for name in forms
  }
  seconds: dict[str, list[float]] = {name: [] for name in forms}
  for repetition in range(_REPETITIONS.value + 1):
    for name, run in forms.items():
      begin = time.perf_counter()
      states[name] = jax.block_until_ready(run(states[name]))
      if repetition:  # the first one compiles
        seconds[name].append(time.perf_counter() - begin)
  ratios = [
    a / b
    for a, b in zip(seconds['one_by_one'], seconds['together'], strict=True)
  ]
  rows = data['train'].host.rows * members
  return {
    'members': members,
    **{
      f'rows_per_second_{name}': rows / statistics.median(values)
      for name, values in seconds.items()
    },
    'speed_up': statistics.median(ratios),
    'speed_up_range': [min(ratios), max(ratios)],
  }


def main(argv: list[str]) -> None:
  """Prints a line per setting; writes JSON."""
  del argv
  results = []
  with tempfile.TemporaryDirectory() as directory:
    prepare.prepare(
      prepare_config.PrepareConfig(
        source='simulated',
        data_dir=directory,
        simulated_rows=_ROWS.value,
        as_of=(),
      ),
      lambda label, fraction: None,
    )
    path = pathlib.Path(directory)
    described = manifest_file.read(path)
    for size, network in SIZES.items():
      for backbone in BACKBONES:
        config = config_lib.Config(backbone=backbone, network=network)
        data = {
          name: splits_lib.place(
            columns.read_split(path, described, name), config.batch
          )
          for name in ('train', 'validation')
        }
        for members in _MEMBERS.value:
          found = measure(data, described, config, members)
          results.append({'network': size, 'backbone': backbone, **found})
          low, high = found['speed_up_range']
          print(
            f'{size:6} {backbone:14} P = {members}:'
            f' {found["rows_per_second_one_by_one"]:>9,.0f} rows/s one by one,'
            f' {found["rows_per_second_together"]:>9,.0f} together,'
            f' {found["speed_up"]:.2f} times ({low:.2f} to {high:.2f})',
            flush=True,
          )
  if _OUTPUT.value:
    record = {
      'rows': _ROWS.value,
      'repetitions': _REPETITIONS.value,
      'device': provenance.device(),
      'versions': provenance.versions(),
      'commit': provenance.commit(),
      'results': results,
    }
    pathlib.Path(_OUTPUT.value).write_text(
      json.dumps(record, indent=2) + '\n', encoding='utf-8'
    )


if __name__ == '__main__':
  app.run(main)

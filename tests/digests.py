"""What a change of the code must not change: digests of trained runs.

    python -m tests.digests record runs/digests.json
    ... change the code ...
    python -m tests.digests check runs/digests.json

Every run is two short epochs of each stage through the command line's own
entry point, so that the modules behind it may move. Recorded are the digests
of all parameters that a run leaves, and its metrics as numbers; a difference
is printed with its size. Both calls want the same machine and versions:
other processors round differently. RetailRocket's runs need RMTL_REAL_DATA.

`--most=quick` (the default, some 70 runs) has every backbone, weighting, place
of the data and mesh, but not every combination; `--most=full` has them all;
`--most=few` a handful. `--only=TEXT` keeps the cases that TEXT is a part of.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import itertools
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

ROOT = pathlib.Path(__file__).parents[1]
BACKBONES = (
  *('single_task', 'shared_bottom', 'omoe', 'mmoe', 'ple', 'aitm', 'esmm'),
)
WEIGHTINGS = ('critic', 'constant', 'advantage', 'q_shuffled', 'ddpg')
LOGS = ('simulated', 'retailrocket')
INPUTS = ('resident', 'streaming')
MESHES = ('', 'data:2,model:2')
DEVICES = 4
# Two epochs of every stage, in small networks and batches.
SETTINGS = (
  '--preset=paper',
  '--config.network.embedding_dim=8',
  '--config.network.bottom_units=16,8',
  '--config.network.tower_units=(8,)',
  '--config.network.num_experts=4',
  '--config.network.table_multiple=64',
  '--config.pretrain.max_epochs=2',
  '--config.critic.max_passes=2',
  '--config.critic.min_passes=1',
  '--config.finetune.max_epochs=2',
  '--config.evaluation.bootstrap=20',
  '--config.batch.lane_length=32',
)
# What differs between two runs of the same bits.
VARYING = (
  *('seconds', 'device', 'versions', 'rows_per_second', 'record_digest'),
)


class Case(NamedTuple):
  """One run.

  Attributes:
    log: one of LOGS.
    backbone: one of BACKBONES.
    weighting: one of WEIGHTINGS.
    input: one of INPUTS.
    mesh: one of MESHES.
    ensemble: models of the run.
  """

  log: str = 'simulated'
  backbone: str = 'mmoe'
  weighting: str = 'critic'
  input: str = 'resident'
  mesh: str = ''
  ensemble: int = 1

  @property
  def name(self) -> str:
    """Its name in the record."""
    return ' '.join(str(part) for part in self if part)

  @property
  def flags(self) -> tuple[str, ...]:
    """Of `rmtl train`."""
    mesh = (f'--mesh={self.mesh}',) if self.mesh else ()
    lanes = 8 if self.log == 'simulated' else 64
    return (
      *SETTINGS,
      *mesh,
      f'--config.batch.lanes={lanes}',
      f'--config.backbone={self.backbone}',
      f'--config.weighting.name={self.weighting}',
      f'--config.batch.input={self.input}',
      f'--config.ensemble={self.ensemble}',
    )


def cases(most: str) -> list[Case]:
  """The runs of `--most`, without doubles."""
  if most == 'full':
    grid = itertools.product(LOGS, BACKBONES, WEIGHTINGS, INPUTS, MESHES)
    found = [Case(*values) for values in grid]
  elif most == 'few':
    found = [Case(), Case(backbone='esmm', weighting='ddpg')]
    found += [Case(input='streaming'), Case(mesh=MESHES[1])]
    found += [Case(backbone='ple', weighting='advantage')]
  else:
    grid = itertools.product(LOGS[:1], BACKBONES, WEIGHTINGS)
    found = [Case(*values) for values in grid]
    for values in ({'input': INPUTS[1]}, {'mesh': MESHES[1]}, {'log': LOGS[1]}):
      found += [Case(backbone=name, **values) for name in BACKBONES]
      found += [Case(weighting=name, **values) for name in WEIGHTINGS]
    found += [Case(LOGS[1], input=INPUTS[1]), Case(LOGS[1], mesh=MESHES[1])]
  found += [Case(ensemble=2), Case(ensemble=2, input=INPUTS[1])]
  return list(dict.fromkeys(found))


def outcome(run: pathlib.Path) -> dict[str, Any]:
  """What a finished run left: digests of parameters, metrics as numbers.

  Args:
    run: RUN, with `metrics.json` and `checkpoints/`.
  """
  record = json.loads((run / 'metrics.json').read_text(encoding='utf-8'))
  lines = (run / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  numbers = dict(_numbers({'metrics': record, 'epochs': _by_stage(lines)}))
  return {
    'parameters': parameters(run),
    'metrics': {
      path: value
      for path, value in numbers.items()
      if not set(path.split('/')) & set(VARYING)
    },
  }


def _by_stage(lines: list[str]) -> dict[str, Any]:
  """The records of metrics.jsonl by stage, in their order.

  What stage 3 did is seen here even where it kept the pre-trained parameters.
  """
  found: dict[str, Any] = {}
  for entry in map(json.loads, lines):
    found.setdefault(entry['stage'], []).append(entry)
  return found


def parameters(run: pathlib.Path) -> dict[str, str]:
  """A digest of the parameters of every finished stage and control."""
  import jax
  import numpy as np

  import rmtl_jax

  found = {}
  for stage in ('pretrain', 'constant', 'finetune'):
    try:
      params = rmtl_jax.load(run, stage).params
    except rmtl_jax.InputError:  # a weighting without a control
      continue
    digest = hashlib.sha256()
    for path, leaf in jax.tree_util.tree_leaves_with_path(params):
      array = np.ascontiguousarray(np.asarray(leaf))
      digest.update(f'{jax.tree_util.keystr(path)}{array.shape}'.encode())
      digest.update(array.data)
    found[stage] = digest.hexdigest()[:16]
  return found


def _numbers(tree: Any, path: str = '') -> Iterator[tuple[str, float]]:
  """Every number of a record, by its path."""
  if isinstance(tree, dict):
    for key, value in tree.items():
      yield from _numbers(value, f'{path}/{key}')
  elif isinstance(tree, list):
    for i, value in enumerate(tree):
      yield from _numbers(value, f'{path}/{i}')
  elif isinstance(tree, int | float) and not isinstance(tree, bool):
    yield path, tree


def _prepare(log: str, data: pathlib.Path) -> None:
  raw = os.environ.get('RMTL_REAL_DATA', '')
  flags = {
    'simulated': ('--simulated_rows=3000',),
    'retailrocket': (f'--raw_dir={raw}/retailrocket',),
  }[log]
  named = (f'--source={log}', f'--data_dir={data}', '--as_of=none')
  _rmtl('prepare', *named, *flags)


def _rmtl(*line: str) -> None:
  """One command line in this process; its output only where it fails."""
  from rmtl_jax import cli

  said = io.StringIO()
  with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
    code = cli.main(['rmtl', *line])
  if code:
    raise SystemExit(f'rmtl {" ".join(line)}: exit {code}\n{said.getvalue()}')


def _work(names: list[str], most: str, where: pathlib.Path) -> None:
  """Runs cases in this process; a line of JSON for each."""
  known = {case.name: case for case in cases(most)}
  for name in names:
    case = known[name]
    data = where / 'data' / case.log
    if not data.exists():
      _prepare(case.log, data)
    run = where / 'runs' / name.replace(' ', '_').replace(',', '_')
    begin = time.perf_counter()
    _rmtl('train', f'--data_dir={data}', f'--workdir={run}', *case.flags)
    seconds = round(time.perf_counter() - begin, 1)
    print(json.dumps({'case': name, 'seconds': seconds, **outcome(run)}))
    sys.stdout.flush()


def run_all(chosen: list[Case], most: str) -> dict[str, Any]:
  """Trains every case, those of a mesh in a process of many devices."""
  found: dict[str, Any] = {}
  with tempfile.TemporaryDirectory(prefix='rmtl_digests_') as where:
    for devices in (1, DEVICES):
      names = [c.name for c in chosen if bool(c.mesh) == (devices > 1)]
      if not names:
        continue
      least = '--xla_backend_optimization_level=0'
      forced = '--xla_force_host_platform_device_count'
      environment = {
        'JAX_NUMPY_RANK_PROMOTION': 'raise',
        'JAX_COMPILATION_CACHE_DIR': f'{where}/compiled',
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        'XDG_CACHE_HOME': f'{where}/cache',
        'XLA_FLAGS': f'{least} {forced}={devices}',
      }
      worker = subprocess.Popen(
        [sys.executable, '-m', 'tests.digests', 'work', where, '--most', most],
        env={**os.environ, **environment},
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
      )
      assert worker.stdin is not None and worker.stdout is not None
      worker.stdin.write(json.dumps(names))
      worker.stdin.close()
      for line in worker.stdout:
        one = json.loads(line)
        print(f'{one["seconds"]:6.1f} s  {one["case"]}', flush=True)
        found[one['case']] = {k: one[k] for k in ('parameters', 'metrics')}
      if worker.wait():
        raise SystemExit(f'a worker ended with {worker.returncode}')
  return found


def differences(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
  """One line per case that is not what it was.

  Args:
    old: outcomes by the case's name.
    new: the same, after the change; cases of one side alone are left out.
  """
  lines = []
  for name in [name for name in old if name in new]:
    before, after = old[name], new[name]
    moved = [
      stage
      for stage, digest in before['parameters'].items()
      if after['parameters'].get(stage) != digest
    ]
    shared = before['metrics'].keys() & after['metrics'].keys()
    gaps = {
      path: abs(after['metrics'][path] - before['metrics'][path])
      for path in shared
      if after['metrics'][path] != before['metrics'][path]
    }
    lost = sorted(before['metrics'].keys() - after['metrics'].keys())
    if moved:
      lines.append(f'{name}: parameters differ: {", ".join(moved)}')
    if gaps:
      worst = max(gaps, key=lambda path: gaps[path])
      lines.append(
        f'{name}: {len(gaps)} of {len(shared)} metrics differ, most'
        f' {worst} by {gaps[worst]:.3g}'
      )
    if lost:
      lines.append(f'{name}: {len(lost)} metrics are gone, first {lost[0]}')
  return lines


def main() -> int:
  """Records or checks; 1 where something differs."""
  parser = argparse.ArgumentParser(prog='python -m tests.digests')
  parser.add_argument('what', choices=('record', 'check', 'work'))
  parser.add_argument('file', type=pathlib.Path)
  parser.add_argument(
    '--most', choices=('few', 'quick', 'full'), default='quick'
  )
  parser.add_argument('--only', default='')
  arguments = parser.parse_args()
  if arguments.what == 'work':
    _work(json.load(sys.stdin), arguments.most, arguments.file)
    return 0
  real = os.environ.get('RMTL_REAL_DATA')
  chosen = [
    case
    for case in cases(arguments.most)
    if arguments.only in case.name and (real or case.log != 'retailrocket')
  ]
  if not real:
    print("RMTL_REAL_DATA is not set: RetailRocket's runs are left out")
  found = run_all(chosen, arguments.most)
  if arguments.what == 'record':
    arguments.file.parent.mkdir(parents=True, exist_ok=True)
    arguments.file.write_text(json.dumps(found), encoding='utf-8')
    print(f'{arguments.file}: {len(found)} runs')
    return 0
  lines = differences(
    json.loads(arguments.file.read_text(encoding='utf-8')), found
  )
  print('\n'.join(lines) or f'{len(found)} runs are what they were')
  return 1 if lines else 0


if __name__ == '__main__':
  sys.exit(main())

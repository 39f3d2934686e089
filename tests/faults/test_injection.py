"""The n-th write, rename, mkdir or sync fails: what is there is whole.

Small runs of commands with a full disk, a broken disk and a SIGKILL at a
sample of calls. `pytest -m long tests/faults/test_injection.py -n 0 -s` prints
the figures.
"""

from __future__ import annotations

import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from rmtl_jax.serving.export import export_writer
from tests import signals
from tests.faults import runs, sound

FULL, BROKEN, KILLED = 1, 2, 3
KINDS = {FULL: 'ENOSPC', BROKEN: 'EIO', KILLED: 'SIGKILL'}


@pytest.fixture(scope='module')
def shim(tmp_path_factory) -> pathlib.Path:
  """The library that makes calls fail."""
  compiler = shutil.which('cc') or shutil.which('gcc')
  if compiler is None or sys.platform != 'linux':
    pytest.skip('needs Linux and a C compiler')
  shim = tmp_path_factory.mktemp('shim') / 'inject.so'
  source = pathlib.Path(__file__).with_name('inject.c')
  subprocess.run(
    [compiler, '-shared', '-fPIC', '-O1', '-o', str(shim), str(source), '-ldl'],
    check=True,
  )
  return shim


class Job(NamedTuple):
  """A command, and what whole output is.

  Attributes:
    base: which of the sound files it takes, and where to.
    argv: the command line; `{}` is the directory in which it runs.
    check: raises AssertionError unless all that is there is whole; returns
      whether there is any output.
  """

  base: tuple[str, str]
  argv: str
  check: Callable[[pathlib.Path], bool]


def _old_or_new(place: pathlib.Path) -> bool:
  # Between two renames the old data stand under a hidden name.
  (found,) = (
    place.glob('.out.old-*')
    if not (place / 'out').exists()
    else [place / 'out']
  )
  sound.check_prepared(found)
  return True


def _predicted(place: pathlib.Path) -> bool:
  path = place / 'out.parquet'
  return path.exists() and pq.read_table(path).num_rows == 60


def _exported(place: pathlib.Path) -> bool:
  if not (place / 'out').exists():
    return False
  record = json.loads((place / 'out' / 'export.json').read_text())
  for name, said in record['files'].items():
    assert export_writer.digest(place / 'out' / name) == said, name
  return True


_metrics: list[dict] = []  # of runs that were disturbed, all equal


def _trained(place: pathlib.Path) -> bool:
  path = place / 'run' / 'metrics.json'
  if not path.exists():
    return False
  _metrics.append(signals.without_times(json.loads(path.read_text())))
  assert _metrics[-1] == _metrics[0]
  return True


_STAGES = ' '.join(f for f in sound.TINY if not f.startswith('--stage'))
JOBS = {
  'prepare': Job(
    ('data/data', 'out'),
    'prepare --source=simulated --simulated_rows=300 --threads=1'
    ' --data_dir={}/out --overwrite',
    _old_or_new,
  ),
  'predict': Job(
    ('run', '.'),
    'predict --workdir={}/run --nocompilation_cache --input={}/rows.csv'
    ' --output={}/out.parquet',
    _predicted,
  ),
  'export': Job(
    ('run', '.'),
    'export --workdir={}/run --nocompilation_cache --output={}/out',
    _exported,
  ),
  'train': Job(
    ('data', '.'),
    f'train --data_dir={{}}/data --workdir={{}}/run {_STAGES}'
    ' --config.critic.max_passes=1 --config.finetune.max_epochs=1'
    ' --config.checkpoint_minutes=0',  # every pass is saved
    _trained,
  ),
}


def _run(
  shim: pathlib.Path, place: pathlib.Path, job: Job, n: int = 0, kind: int = 0
) -> tuple[int, str]:
  """(exit code or minus the signal, what was said)."""
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'rmtl_jax'),
      *(word.replace('{}', str(place)) for word in job.argv.split()),
    ],
    cwd=runs.ROOT,
    env={
      **os.environ,
      'LD_PRELOAD': str(shim),
      'FAULT_ROOT': f'{place}/',
      'FAULT_AT': str(n),
      'FAULT_KIND': str(kind),
      'FAULT_COUNT': str(shim.parent / 'count'),
      'PYTHONWARNINGS': 'ignore',
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.STDOUT,
    text=True,
  )
  return done.returncode, done.stdout


def _begin(job: Job, place: pathlib.Path) -> None:
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir()
  source, target = job.base
  shutil.copytree(sound.shared() / source, place / target, dirs_exist_ok=True)


def _one(shim, job: Job, place: pathlib.Path, n: int, kind: int) -> str:
  """One fault; returns what became of the command."""
  _begin(job, place)
  code, said = _run(shim, place, job, n, kind)
  where = f'call {n}, {KINDS[kind]}: exit {code}: {said[-800:]}'
  assert 'Traceback' not in said, where
  if kind == KILLED:
    assert code in (0, -signal.SIGKILL), where
  elif code:
    lines = [x for x in said.splitlines() if x.startswith('rmtl: ')]
    assert code in (1, 2) and len(lines) == 1, where
    assert not list(place.glob('.*partial*')), where
  whole = job.check(place)
  assert whole or code, where
  if job.argv.startswith('export'):  # writes over nothing
    shutil.rmtree(place / 'out', ignore_errors=True)
  second, told = _run(shim, place, job)
  assert second == 0, f'{where}\nthen: {told[-800:]}'
  assert job.check(place), where
  assert not list(place.glob('.*partial*')) + list(place.glob('.*old-*')), where
  return {0: 'unharmed', -signal.SIGKILL: 'killed'}.get(code, 'one line')


def _inject(shim, place, name, sample, kinds) -> str:
  job = JOBS[name]
  _begin(job, place)
  code, said = _run(shim, place, job)
  assert code == 0 and job.check(place), said
  count = int((shim.parent / 'count').read_text())
  assert count > 0
  # The last calls are those that publish.
  calls = list(range(1, count + 1))
  early, last = calls[: -sample // 2], calls[-sample // 2 :]
  rng = random.Random(f'{name} {sample}')
  numbers = [*rng.sample(early, min(len(early), sample)), *last]
  ended = [
    f'{KINDS[kind]}: {_one(shim, job, place, n, kind)}'
    for kind in kinds
    for n in numbers
  ]
  counts = {one: ended.count(one) for one in sorted(set(ended))}
  return f'{name}: {count} calls, {len(numbers)} of them failed: {counts}'


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'kinds'), [('prepare', (FULL, KILLED)), ('export', (KILLED,))]
)
def test_some_calls_of_prepare_and_export(shim, tmp_path, name, kinds):
  print('\n' + _inject(shim, tmp_path / 'place', name, 2, kinds))


@pytest.mark.long
@pytest.mark.parametrize('name', JOBS)
def test_calls_of_every_command(shim, tmp_path, name):
  print('\n' + _inject(shim, tmp_path / 'place', name, 8, KINDS))

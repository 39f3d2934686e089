"""The n-th write, rename, mkdir or sync fails: what is there is whole.

Small runs of every command, with a full disk, a broken disk and a SIGKILL at
one call after the other: all of them for prepare, a sample with a fixed seed
for what takes seconds. `pytest -m long tests/faults/test_injection.py -n 0 -s`
prints the figures.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import pyarrow.parquet as pq
import pytest

from tests import signals
from tests.faults import runs, sound

FULL, BROKEN, KILLED = 1, 2, 3
KINDS = {FULL: 'ENOSPC', BROKEN: 'EIO', KILLED: 'SIGKILL'}


class Worker:
  """The process that runs command lines with the injector in it."""

  def __init__(self, shim: pathlib.Path):
    """Starts it."""
    self._process = subprocess.Popen(
      [sys.executable, '-m', 'tests.faults.inject_worker'],
      env={
        **os.environ,
        'LD_PRELOAD': str(shim),
        'PYTHONPATH': str(runs.ROOT),
        'PYTHONWARNINGS': 'ignore',
      },
      cwd=runs.ROOT,
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      text=True,
    )

  def run(
    self, root: pathlib.Path, argv: Sequence[str], n: int = 0, kind: int = 0
  ) -> tuple[int, str, int]:
    """(exit code or minus the signal, what was said, calls counted)."""
    assert self._process.stdin and self._process.stdout
    request = [f'{root}/', n, kind, list(argv)]
    self._process.stdin.write(json.dumps(request) + '\n')
    self._process.stdin.flush()
    code, said, count = json.loads(self._process.stdout.readline())
    return code, said, count

  def close(self) -> None:
    """Ends it."""
    assert self._process.stdin
    self._process.stdin.close()
    self._process.wait(30)


@pytest.fixture(scope='module')
def worker(tmp_path_factory) -> Iterator[Worker]:
  compiler = shutil.which('cc') or shutil.which('gcc')
  if compiler is None or sys.platform != 'linux':
    pytest.skip('needs Linux and a C compiler')
  shim = tmp_path_factory.mktemp('shim') / 'inject.so'
  source = pathlib.Path(__file__).with_name('inject.c')
  subprocess.run(
    [compiler, '-shared', '-fPIC', '-O1', '-o', str(shim), str(source), '-ldl'],
    check=True,
  )
  found = Worker(shim)
  yield found
  found.close()


class Job(NamedTuple):
  """A command, and what whole output is.

  Attributes:
    begin: fills the empty directory in which it runs.
    argv: the command line, given the directory.
    again: the same, where output is there already.
    check: raises AssertionError unless all that is there is whole; returns
      whether there is any output.
    sample: how many calls of each kind fail; all if None.
  """

  begin: Callable[[pathlib.Path], None]
  argv: Callable[[pathlib.Path], list[str]]
  again: Callable[[pathlib.Path], list[str]]
  check: Callable[[pathlib.Path], bool]
  sample: int | None


def _prepare(place: pathlib.Path, *more: str) -> list[str]:
  return [
    *('prepare', '--source=simulated', '--simulated_rows=300', '--threads=1'),
    *(f'--data_dir={place}/out', *more),
  ]


def _prepared(place: pathlib.Path) -> bool:
  if not (place / 'out').exists():
    return False
  sound.check_prepared(place / 'out')
  return True


def _old_data(place: pathlib.Path) -> None:
  shutil.copytree(sound.shared() / 'data' / 'data', place / 'out')


def _old_or_new(place: pathlib.Path) -> bool:
  # Between two renames the old data stand under a hidden name.
  if not (place / 'out').exists():
    (hidden,) = place.glob('.out.old-*')
    sound.check_prepared(hidden)
    return True
  return _prepared(place)


def _a_run(place: pathlib.Path) -> None:
  shutil.copytree(sound.shared() / 'run', place, dirs_exist_ok=True)


def _predict(place: pathlib.Path) -> list[str]:
  return [
    *('predict', f'--workdir={place}/run', '--nocompilation_cache'),
    *(f'--input={place}/rows.csv', f'--output={place}/out.parquet'),
  ]


def _predicted(place: pathlib.Path) -> bool:
  path = place / 'out.parquet'
  return path.exists() and pq.read_table(path).num_rows == 60


def _export(place: pathlib.Path) -> list[str]:
  return [
    *('export', f'--workdir={place}/run', '--nocompilation_cache'),
    f'--output={place}/out',
  ]


_exports: list[dict[str, str]] = []  # digests, disturbed or not: all equal


def _exported(place: pathlib.Path) -> bool:
  out = place / 'out'
  if not out.exists():
    return False
  record = json.loads((out / 'export.json').read_text())
  found = {
    str(path.relative_to(out)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in out.rglob('*')
    if path.is_file()
  }
  for name, said in record['files'].items():
    assert found[name] == said['sha256'], name
  _exports.append(found)
  assert found == _exports[0]
  return True


def _export_again(place: pathlib.Path) -> list[str]:
  if (place / 'out').exists():
    shutil.rmtree(place / 'out')
  return _export(place)


def _report(place: pathlib.Path) -> list[str]:
  return [
    *('report', f'--workdir={place}/run', '--nocompilation_cache'),
    f'--output={place}/page',
  ]


def _reported(place: pathlib.Path) -> bool:
  for path in (place / 'page').rglob('*'):
    if path.suffix in ('.html', '.svg'):
      end = f'</{path.suffix[1:]}>'
      assert path.read_text().rstrip().endswith(end), path
  return (place / 'page' / 'report.html').exists()


def _data(place: pathlib.Path) -> None:
  shutil.copytree(sound.shared() / 'data' / 'data', place / 'data')


def _train(place: pathlib.Path) -> list[str]:
  flags = [f for f in sound.TINY if not f.startswith('--stage')]
  return [
    *('train', f'--data_dir={place}/data', f'--workdir={place}/run', *flags),
    *('--config.critic.max_passes=1', '--config.finetune.max_epochs=1'),
    '--config.checkpoint_minutes=0',  # every pass is saved
  ]


_metrics: list[dict] = []  # of runs that were disturbed, all equal


def _trained(place: pathlib.Path) -> bool:
  path = place / 'run' / 'metrics.json'
  if not path.exists():
    return False
  record = signals.without_times(json.loads(path.read_text()))
  _metrics.append(record)
  assert record == _metrics[0]
  return True


JOBS = {
  'prepare': Job(lambda place: None, _prepare, _prepare, _prepared, None),
  'prepare --overwrite': Job(
    _old_data,
    lambda place: _prepare(place, '--overwrite'),
    lambda place: _prepare(place, '--overwrite'),
    _old_or_new,
    None,
  ),
  'predict': Job(_a_run, _predict, _predict, _predicted, None),
  'export': Job(_a_run, _export, _export_again, _exported, 6),
  'report': Job(_a_run, _report, _report, _reported, 6),
  'train': Job(_data, _train, _train, _trained, 6),
}


def _one(
  worker: Worker, job: Job, place: pathlib.Path, n: int, kind: int
) -> str:
  """One fault; returns what became of the command."""
  shutil.rmtree(place, ignore_errors=True)
  place.mkdir()
  job.begin(place)
  code, said, _ = worker.run(place, job.argv(place), n, kind)
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
  again = job.again(place)
  if whole and again[0] == 'prepare' and '--overwrite' not in again:
    again.append('--overwrite')
  second, told, _ = worker.run(place, again)
  assert second == 0, f'{where}\nthen: {told[-800:]}'
  assert job.check(place), where
  assert not list(place.glob('.*partial*')) + list(place.glob('.*old-*')), where
  return {0: 'unharmed', -signal.SIGKILL: 'killed'}.get(code, 'one line')


def _inject(worker, place, name, sample, kinds) -> str:
  job = JOBS[name]
  place.mkdir()
  job.begin(place)
  code, said, count = worker.run(place, job.argv(place))
  assert code == 0 and job.check(place), said
  numbers = list(range(1, count + 1))
  if sample is not None:
    # The last calls are those that publish.
    rng = random.Random(f'{name} {sample}')
    early, last = numbers[: -sample // 2], numbers[-sample // 2 :]
    numbers = sorted(
      {*rng.sample(early, min(len(early), sample - sample // 2)), *last}
    )
  counts: dict[str, int] = {}
  for kind in kinds:
    for n in numbers:
      ended = f'{KINDS[kind]}: {_one(worker, job, place, n, kind)}'
      counts[ended] = counts.get(ended, 0) + 1
  return f'{name}: {count} calls, {len(numbers)} of them failed: {counts}'


@pytest.mark.slow
@pytest.mark.parametrize(
  ('name', 'kinds'), [('prepare', (FULL, KILLED)), ('export', (KILLED,))]
)
def test_some_calls_of_prepare_and_export(worker, tmp_path, name, kinds):
  _inject(worker, tmp_path / 'place', name, 2, kinds)


@pytest.mark.long
@pytest.mark.parametrize('kind', KINDS, ids=KINDS.values())
@pytest.mark.parametrize('name', JOBS)
def test_calls_of_every_command(worker, tmp_path, name, kind):
  sample = JOBS[name].sample
  print('\n' + _inject(worker, tmp_path / 'place', name, sample, (kind,)))

"""Mutants of every file that a command reads: handled, or one clear line.

The bounded tier tries a hundred, the long tier 2,350: `pytest -m long
tests/faults -n 0 -s` prints how many were handled, refused and lost.
"""

from __future__ import annotations

import collections
import json
import os
import pathlib
import select
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
import pytest

from tests.faults import fuzz_targets, mutations

_ROOT = pathlib.Path(__file__).parents[2]
# Seconds of silence after which an input counts as a hang. The first of a
# process imports JAX, and others compile.
_PATIENCE = 120.0


@pytest.fixture(scope='module')
def base():
  return fuzz_targets.shared()


class Worker:
  """A process that judges mutants; another one takes its place if it dies."""

  def __init__(self, base: pathlib.Path, scratch: pathlib.Path):
    self._base, self._scratch = base, scratch
    self._process: subprocess.Popen[str] | None = None

  def attempt(self, target: str, number: int) -> dict:
    """The verdict on one mutant; a crash or a hang is `lost`."""
    process = self._process or self._start()
    assert process.stdin and process.stdout
    process.stdin.write(f'{target}\t{number}\n')
    process.stdin.flush()
    ready, _, _ = select.select([process.stdout], [], [], _PATIENCE)
    line = process.stdout.readline() if ready else ''
    if line:
      return json.loads(line)
    self.close()
    what = f'crash, exit code {process.returncode}' if ready else 'hang'
    return {'target': target, 'number': number, 'verdict': 'lost', 'line': what}

  def close(self) -> None:
    if self._process is not None:
      self._process.kill()
      self._process.communicate()
      self._process = None

  def _start(self) -> subprocess.Popen[str]:
    self._process = subprocess.Popen(
      [
        sys.executable,
        *('-m', 'tests.faults.fuzz_worker'),
        *(str(self._base), str(self._scratch)),
      ],
      cwd=_ROOT,
      env=os.environ | {'PYTHONPATH': str(_ROOT)},
      stdin=subprocess.PIPE,
      stdout=subprocess.PIPE,
      stderr=subprocess.DEVNULL,
      text=True,
    )
    return self._process


def _inputs(count: int, first: int) -> Iterator[tuple[str, int]]:
  """So many (target, number), the targets by their shares."""
  targets = fuzz_targets.TARGETS.values()
  total = sum(target.share for target in targets)
  done, due = 0, 0.0
  for target in targets:
    due += count * target.share / total
    for number in range(round(due) - done):
      yield target.name, first + number
    done = round(due)


def _fuzz(base, scratch, count, first):
  """Counts verdicts; fails with all that was lost."""
  begin = time.monotonic()
  verdicts: collections.Counter[str] = collections.Counter()
  lost = []
  worker = Worker(base, scratch)
  try:
    for name, number in _inputs(count, first):
      record = worker.attempt(name, number)
      verdicts[record['verdict']] += 1
      if record['verdict'] == 'lost':
        lost.append(record)
  finally:
    worker.close()
  print(
    f'\n{count} inputs: {verdicts["handled"]} handled, {verdicts["refused"]}'
    f' refused, {verdicts["lost"]} lost, {time.monotonic() - begin:.0f} s'
  )
  assert not lost, '\n'.join(map(json.dumps, lost))
  assert sum(verdicts.values()) == count
  return verdicts


@pytest.mark.slow
def test_a_hundred_mutants(base, tmp_path):
  verdicts = _fuzz(base, tmp_path / 'in put é', 100, first=0)
  assert min(verdicts['handled'], verdicts['refused']) > 20


@pytest.mark.long
def test_thousands_of_mutants(base, tmp_path):
  _fuzz(base, tmp_path / 'in put é', 2350, first=10_000)


@pytest.mark.slow
def test_sound_files_are_handled(base):
  for target in fuzz_targets.TARGETS.values():
    assert target.files(base / target.base), target.name


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['a.csv', 'a.csv.gz', 'a.json', 'a.parquet', 'a.arrow']
)
def test_mutants_follow_from_the_seed(base, name):
  source = {
    'a.csv': 'table/raw/log.csv',
    'a.csv.gz': 'table_gz/raw/log.csv.gz',
    'a.json': 'table/schema.json',
    'a.parquet': 'table_parquet/raw/log.parquet',
    'a.arrow': 'run/rows.arrow',
  }[name]
  data = (base / source).read_bytes()
  found = [
    mutations.mutate(np.random.default_rng(n), name, data) for n in range(20)
  ]
  again = [
    mutations.mutate(np.random.default_rng(n), name, data) for n in range(20)
  ]
  assert found == again
  assert sum(mutant.data != data for mutant in found) > 15

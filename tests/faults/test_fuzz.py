"""Mutants of every file that a command reads: handled, or one clear line."""

from __future__ import annotations

import collections
import json
import subprocess
import sys

import pytest

from tests.faults import fuzz_worker, runs, sound


@pytest.mark.parametrize(
  'count',
  [
    pytest.param(160, marks=pytest.mark.slow),
    pytest.param(2000, marks=pytest.mark.long),
  ],
)
def test_mutants(tmp_path, count):
  done = subprocess.run(
    [
      *(sys.executable, '-m', 'tests.faults.fuzz_worker'),
      *(str(tmp_path / 'in put é'), str(count)),
    ],
    cwd=runs.ROOT,
    capture_output=True,
    text=True,
    timeout=60 + 5 * count,
  )
  lines = [json.loads(line) for line in done.stdout.splitlines()]
  assert done.returncode == 0, (lines[-1:], done.stderr[-2000:])
  verdicts = [line for line in lines if 'verdict' in line]
  assert len(verdicts) == count
  counts = collections.Counter(line['verdict'] for line in verdicts)
  lost = [v for v in verdicts if v['verdict'] not in ('handled', 'refused')]
  assert not lost, '\n'.join(v['target'] + v['verdict'] for v in lost)
  assert min(counts['handled'], counts['refused']) > count // 6


@pytest.mark.slow
def test_sound_files_are_handled(tmp_path):
  for name in sound.TARGETS:
    found = fuzz_worker.attempt(name, tmp_path / 'input', None)
    assert found == 'handled', name

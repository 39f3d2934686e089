"""Runs on meshes, in one process and in two, against a run on one device."""

from __future__ import annotations

import json
import os
import pathlib
import socket
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from rmtl_jax.runtime import writers
from tests import next_day, tiny
from tests.faults import runs

ROOT = pathlib.Path(__file__).parents[2]
SETTINGS = (
  '--preset=paper',
  '--config.batch.lanes=8',
  '--config.batch.lane_length=8',
  '--config.batch.steps_per_dispatch=4',
  '--config.network.embedding_adam=rows',
  '--config.network.table_multiple=64',
  *runs.SMALL[1:5],
  '--config.evaluation.bootstrap=10',
  '--nocompilation_cache',
)
SHORT = (
  *SETTINGS,
  '--config.pretrain.max_epochs=2',
  '--config.critic.max_passes=3',
  '--config.finetune.max_epochs=1',
)


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  path = tmp_path_factory.mktemp('data') / 'prepared'
  manifest = tiny.write_prepared(path, sessions=400)
  next_day.write_vocabulary(path, next_day.values(manifest))
  return path


def _start(
  command: str, path: pathlib.Path, devices: int, *line: str
) -> subprocess.Popen[str]:
  """`rmtl COMMAND` on so many devices, its output in pipes."""
  flags = os.environ.get('XLA_FLAGS', '')
  return subprocess.Popen(
    [sys.executable, '-m', 'rmtl_jax', command, f'--workdir={path}', *line],
    env={
      **os.environ,
      'PYTHONPATH': str(ROOT),
      'XLA_FLAGS': f'{flags} --xla_force_host_platform_device_count={devices}',
    },
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )


def _two(
  path: pathlib.Path, *line: str, own: Sequence[tuple[str, ...]] = ((), ())
) -> list[subprocess.Popen[str]]:
  """A training job of two processes with four devices each, on loopback.

  Args:
    path: of the run.
    *line: what both are told.
    own: what one of them is told beside it.
  """
  with socket.socket() as free:
    free.bind(('127.0.0.1', 0))
    port = free.getsockname()[1]
  job = (f'--coordinator_address=127.0.0.1:{port}', '--num_processes=2')
  return [
    _start('train', path, 4, *line, *own[i], *job, f'--process_id={i}')
    for i in (0, 1)
  ]


def _finish(*processes: subprocess.Popen[str]) -> str:
  """Waits for success; what the first one printed."""
  printed = [process.communicate(timeout=300) for process in processes]
  for process, (_, error) in zip(processes, printed, strict=True):
    assert process.returncode == 0, error
  return printed[0][0]


@pytest.fixture(scope='module')
def one_device(data, tmp_path_factory):
  path = tmp_path_factory.mktemp('one') / 'run'
  _finish(_start('train', path, 1, f'--data_dir={data}', *SHORT))
  return path


def _losses(record: dict[str, Any]) -> dict[str, float]:
  return {
    f'{stage} {task} {name}': values[name]
    for stage, tasks in record['stages'].items()
    for task, values in tasks.items()
    for name in ('logloss', 'session_logloss', 'predicted_over_actual')
  }


def _assert_alike(path: pathlib.Path, expected: pathlib.Path) -> None:
  """All stages: losses of every pass, and of the test rows in the end."""
  found, wanted = (writers.read_history(p) for p in (path, expected))
  assert [(e['stage'], e['epoch']) for e in found] == [
    (e['stage'], e['epoch']) for e in wanted
  ]
  assert {e['stage'] for e in found} == {
    'pretrain',
    'critic',
    'constant',
    'finetune',
  }
  for entry, other in zip(found, wanted, strict=True):
    names = {'loss', 'td_error', 'validation_td_error'} & entry.keys()
    assert names
    for name in names:
      assert abs(entry[name] - other[name]) < 1e-5, (entry['stage'], name)
  records = [
    json.loads((p / 'metrics.json').read_text()) for p in (path, expected)
  ]
  assert _losses(records[0]) == pytest.approx(
    _losses(records[1]), rel=0, abs=1e-5
  )


@pytest.mark.slow
def test_one_process_with_eight_devices(data, one_device, tmp_path):
  path = tmp_path / 'run'
  line = (f'--data_dir={data}', *SHORT)
  _finish(_start('train', path, 8, *line, '--mesh=data:4,model:2'))
  _assert_alike(path, one_device)
  record = json.loads((path / 'metrics.json').read_text())
  assert record['device'].startswith('8 x cpu')


@pytest.mark.slow
def test_two_processes_and_another_mesh_to_evaluate_on(
  data, one_device, tmp_path
):
  path = tmp_path / 'run'
  line = (f'--data_dir={data}', *SHORT)
  printed = _finish(*_two(path, *line, '--mesh=data:4,model:2'))
  assert 'metrics:' in printed
  _assert_alike(path, one_device)
  _finish(_start('evaluate', path, 8, '--mesh=model:8'))
  records = [
    json.loads((path / name).read_text())
    for name in ('metrics.json', 'evaluation/test.json')
  ]
  assert _losses(records[1]) == pytest.approx(
    _losses(records[0]), rel=0, abs=1e-5
  )


@pytest.mark.long
@pytest.mark.parametrize('victim', [0, 1])
def test_a_lost_process_and_the_same_command_again(data, tmp_path, victim):
  """The other one ends, by an abort of JAX or Gloo, and both resume."""
  path = tmp_path / 'run'
  line = (
    f'--data_dir={data}',
    *SETTINGS,
    '--config.pretrain.max_epochs=30',
    '--config.pretrain.patience=30',
    '--stage=pretrain',
  )
  job = _two(path, *line)
  assert runs.wait_until(lambda: len(runs.saved(path)) > 1, job[0], 300)
  job[victim].kill()
  job[1 - victim].communicate(timeout=60)
  job[victim].communicate(timeout=60)
  assert job[1 - victim].returncode != 0
  assert not (path / 'metrics.json').exists()
  job = _two(path, *line)
  said = [process.communicate(timeout=300)[1] for process in job]
  assert [process.returncode for process in job] == [0, 0], said
  assert 'pretrain: resumes after pass' in said[0]

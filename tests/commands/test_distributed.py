"""The supervisor of a worker: what it says, and with which code it ends."""

from __future__ import annotations

import errno
import os
import pathlib
import signal
import stat
import subprocess
import sys
import time

import pytest
from absl import flags

from rmtl_jax import cli, types
from rmtl_jax.commands import common, distributed, refit, train
from rmtl_jax.runtime import processes

ROOT = pathlib.Path(__file__).parents[2]
THREE = (
  '--coordinator_address=127.0.0.1:99',
  '--num_processes=2',
  '--process_id=1',
)


def _values(*line: str) -> flags.FlagValues:
  values = flags.FlagValues()
  flag = common.Definer(values)
  common.define_workdir(flag)
  distributed.define(flag)
  values(['rmtl train', *line])
  return values


def test_which_command_lines_are_of_several_processes():
  assert not distributed.is_asked(flags.FlagValues())
  assert not distributed.is_asked(_values('--mesh=data:2'))
  assert distributed.is_asked(_values('--distributed'))
  assert distributed.is_asked(_values(*THREE))


@pytest.mark.parametrize(
  ('line', 'said'),
  [
    (THREE[:1], 'belong together'),
    (THREE[1:], 'belong together'),
    ((*THREE[:2], '--process_id=2'), '2 is not below --num_processes=2'),
    (('--coordinator_address=host', *THREE[1:]), "'host' is not HOST:PORT"),
    (('--distributed', '--coordinator_address=h:'), 'is not HOST:PORT'),
  ],
)
def test_flags_that_do_not_fit_together(line, said):
  with pytest.raises(types.InputError, match=said):
    distributed.is_asked(_values(*line))


@pytest.mark.parametrize(
  'line, said',
  [
    (('--mesh=data:2',), None),
    (('--mesh=data:2', '--workdir=elsewhere', *THREE), None),
    (
      ('--mesh=data:4',),
      '--mesh: this process has --mesh=data:4, process 0 of',
    ),
    ((), '--mesh: this process has --mesh=, process 0 of this job --mesh=data'),
  ],
)
def test_processes_are_given_the_same_flags(monkeypatch, line, said):
  def broadcast(make):
    return {name: f'--{name}=data:2' for name in make()}

  monkeypatch.setattr(processes, 'broadcast', broadcast)
  if said is None:
    return distributed._check_alike(_values(*line))
  with pytest.raises(types.InputError, match=said):
    distributed._check_alike(_values(*line))


@pytest.mark.parametrize(
  ('given', 'is_same'),
  [('runs/a', True), ('./runs/../runs/a/', True), ('runs/b', False)],
)
@pytest.mark.parametrize(
  'command, name', [(train, 'start_from'), (refit, 'run')]
)
def test_a_directory_may_be_named_by_several_paths(
  tmp_path, monkeypatch, command, name, given, is_same
):
  def values(path):
    found = flags.FlagValues()
    command.define(common.Definer(found))
    found(['rmtl', f'--{name}={path}'])
    return found

  monkeypatch.chdir(tmp_path)
  made = []
  monkeypatch.setattr(
    processes, 'broadcast', lambda make: made.append(make()) or made[0]
  )
  distributed._check_alike(values(tmp_path / 'runs' / 'a'))
  if is_same:
    return distributed._check_alike(values(given))
  with pytest.raises(types.InputError, match=f'--{name}: this process has'):
    distributed._check_alike(values(given))


def test_who_was_lost_as_jax_says_it():
  text = (
    'Barrier failed because: task is set to ERROR: UNAVAILABLE: Task 3'
    ' heartbeat timeout. This indicates that the remote task has failed'
  )
  assert distributed.lost_processes(text) == [3]
  text = (
    'UNAVAILABLE: The following tasks are unhealthy (stopped sending'
    ' heartbeats):\n1\n12\nThe tasks have crashed. Check the task logs'
  )
  assert distributed.lost_processes(text) == [1, 12]
  fatal = 'the JAX distributed service detected fatal errors'
  for text in (
    'Either the leader task was preempted/died/restarted unexpectedly',
    'PollForError requested after coordination service has shut down.',
    f'{fatal}: UNAVAILABLE: Socket closed',
  ):
    assert distributed.lost_processes(text) == [0]
  assert distributed.lost_processes(
    f'{fatal}: task:2 heartbeat timeout'
  ) == distributed.lost_processes('Task 2 heartbeat timeout')
  assert distributed.lost_processes('Task 3 is well') == []


@pytest.fixture
def worker(tmp_path, monkeypatch):
  """Makes a shell script the interpreter that a supervisor starts."""

  def make(script: str) -> flags.FlagValues:
    path = tmp_path / 'python'
    path.write_text(f'#!/bin/sh\nlog=${{RMTL_WORKER#*:}}\n{script}\n')
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setattr(sys, 'executable', str(path))
    return _values(f'--workdir={tmp_path / "run"}', *THREE)

  return make


@pytest.mark.parametrize(
  ('script', 'code', 'said'),
  [
    ('exit 0', 0, ''),
    ('exit 143', 143, ''),
    ('kill -TERM $$', 143, ''),
    ('echo "rmtl: bad file" >> $log; exit 2', 2, 'rmtl: bad file'),
    ('echo "rmtl: no space" >> $log; exit 1', 1, 'rmtl: no space'),
    (
      'echo "x Task 1 heartbeat timeout y" >> $log; kill -ABRT $$',
      1,
      'rmtl: process 1 of this job was lost; started again, the job goes on',
    ),
    (
      'echo "rmtl: not saved\nTask 1 heartbeat timeout." >> $log; exit 1',
      1,
      'rmtl: process 1 of this job was lost',
    ),
    (
      'echo "RPC: /xla.coordination.CoordinationService/RegisterTask" >> $log;'
      ' kill -ABRT $$',
      1,
      'rmtl: the processes of this job did not meet within 300 s',
    ),
    ('kill -SEGV $$', 1, 'ended with signal 11; started again'),
    ('exit 70', 1, 'ended with exit code 70'),
  ],
)
def test_one_line_for_every_end(worker, capfd, script, code, said):
  assert distributed.supervise(['train'], worker(script)) == code
  printed = capfd.readouterr().err
  assert said in printed
  assert printed.count('\n') == (1 if said else 0)


@pytest.mark.parametrize(
  ('count', 'own', 'lost'),
  [(2, 0, 'process 1'), (2, 1, 'process 0'), (3, 1, 'another process')],
)
def test_a_broken_collective_is_a_loss(
  worker, tmp_path, capfd, count, own, lost
):
  worker(
    'echo "terminate called after throwing an instance of \'gloo::X\'" >> $log'
    '\nkill -ABRT $$'
  )
  values = _values(
    f'--workdir={tmp_path / "run"}',
    THREE[0],
    f'--num_processes={count}',
    f'--process_id={own}',
  )
  assert distributed.supervise(['train'], values) == 1
  said = f'rmtl: {lost} of this job was lost; started again, the job goes on'
  assert capfd.readouterr().err.startswith(said)


def test_the_log_of_an_earlier_run_is_not_read(worker, capfd):
  distributed.supervise([], worker('echo "Task 1 heartbeat timeout" >> $log'))
  assert distributed.supervise([], worker('exit 70')) == 1
  assert 'lost' not in capfd.readouterr().err


@pytest.mark.parametrize(
  ('error', 'waits'),
  [
    (FloatingPointError('loss'), False),
    (OSError(errno.ENOSPC, 'No space left', 'run'), False),
    (OSError(errno.EIO, 'not saved', 'run'), True),
    (ConnectionResetError(errno.ECONNRESET, 'reset'), True),
  ],
)
def test_who_knows_the_reason_does_not_wait(monkeypatch, capsys, error, waits):
  """What can't be a lost peer is told at once, all else after a heartbeat."""

  def execute(values):
    raise error

  monkeypatch.setattr(train, 'execute', execute)
  monkeypatch.setattr(distributed, '_is_own_failure', False)
  code = cli.main(['rmtl', 'train'])
  assert code == 1 and capsys.readouterr().err.startswith('rmtl: ')
  slept = []
  monkeypatch.setattr(time, 'sleep', slept.append)
  monkeypatch.setattr(signal, 'signal', lambda *_: None)

  def leave(code):
    raise SystemExit(code)

  monkeypatch.setattr(os, '_exit', leave)
  with pytest.raises(SystemExit, match='1'):
    distributed._leave(code)
  assert slept == [distributed.HEARTBEAT + 5.0 if waits else 2.0]


SUPERVISOR = """\
import sys
from absl import flags
from rmtl_jax.commands import common, distributed
values = flags.FlagValues()
flag = common.Definer(values)
common.define_workdir(flag)
distributed.define(flag)
values(['rmtl', '--workdir=' + sys.argv[1], '--distributed'])
sys.executable = sys.argv[2]
sys.exit(distributed.supervise([], values))
"""
WORKER = """\
import os, sys, time
from rmtl_jax.commands import distributed
def command():
  print('library', file=os.fdopen(2, 'w', closefd=False), flush=True)
  print('begun', os.getpid(), flush=True)
  time.sleep(60)
  return 0
distributed.work(command)
"""


def _job(tmp_path):
  """A supervisor and its worker; the worker's id."""
  (tmp_path / 'worker.py').write_text(WORKER)
  script = tmp_path / 'python'
  script.write_text(f'#!/bin/sh\nexec {sys.executable} {tmp_path}/worker.py\n')
  script.chmod(0o755)
  job = subprocess.Popen(
    [sys.executable, '-c', SUPERVISOR, str(tmp_path / 'run'), str(script)],
    env={**os.environ, 'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert job.stdout
  return job, int(job.stdout.readline().split()[1])


def _ends(pid: int, seconds: float = 20.0) -> bool:
  end = time.monotonic() + seconds
  while time.monotonic() < end:
    try:
      os.kill(pid, 0)
    except ProcessLookupError:
      return True
    time.sleep(0.02)
  return False


def test_signals_are_passed_on(tmp_path):
  job, pid = _job(tmp_path)
  job.send_signal(signal.SIGTERM)
  _, error = job.communicate(timeout=30)
  assert job.returncode == 143 and error == ''
  assert _ends(pid)
  (log,) = (tmp_path / 'run' / 'logs').iterdir()
  assert 'library' in log.read_text()


def test_a_worker_ends_with_its_supervisor(tmp_path):
  job, pid = _job(tmp_path)
  job.kill()
  job.communicate(timeout=30)
  assert _ends(pid)

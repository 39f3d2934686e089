"""What signals do to work that asks for them, and to work that does not."""

import signal
import subprocess
import sys

SCRIPT = """
import sys, time
from rmtl_jax.commands import common
how, common.GRACE, saves = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
told = {'told': 15}.get(how, 0)  # by another process
with common._Signals(lambda own: max(own, told)) as signals:
  print('ready', flush=True)
  while how == 'sleeps':
    time.sleep(1)
  while not signals.number():
    time.sleep(0.01)
  print('saving', flush=True)
  time.sleep(saves)
  sys.exit(signals.number())
"""
SAID = 'rmtl: interrupted by signal %d; start the same command'


def _start(how: str, grace: float, saves: float = 0.0) -> subprocess.Popen[str]:
  """A process that asks for signals, was told of one, or sleeps."""
  process = subprocess.Popen(
    [sys.executable, '-c', SCRIPT, how, str(grace), str(saves)],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  _wait_for(process, 'ready')
  return process


def _wait_for(process: subprocess.Popen[str], word: str) -> None:
  assert process.stdout is not None
  assert process.stdout.readline() == f'{word}\n'


def test_work_that_does_not_ask_is_ended(number=signal.SIGTERM):
  process = _start('sleeps', 0.2)
  process.send_signal(number)
  _, error = process.communicate(timeout=30)
  assert process.returncode == 128 + number
  assert error.startswith(SAID % number)


def test_work_that_asks_has_time_to_save(number=signal.SIGINT):
  process = _start('asks', 0.2, saves=0.5)
  process.send_signal(number)
  assert process.communicate(timeout=30) == ('saving\n', '')
  assert process.returncode == number

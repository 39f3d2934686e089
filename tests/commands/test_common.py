"""What signals do to work that asks for them, and to work that does not."""

import signal
import subprocess
import sys
import time

import pytest

from rmtl_jax.commands import common

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


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_work_that_does_not_ask_is_ended(number):
  process = _start('sleeps', 0.2)
  process.send_signal(number)
  _, error = process.communicate(timeout=30)
  assert process.returncode == 128 + number
  assert error.startswith(SAID % number)


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_work_that_asks_has_time_to_save(number):
  process = _start('asks', 0.2, saves=0.5)
  process.send_signal(number)
  assert process.communicate(timeout=30) == ('saving\n', '')
  assert process.returncode == number


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_again_is_the_same_one(number):
  """A supervisor and a cluster both signal its worker."""
  process = _start('asks', 30.0, saves=0.5)
  process.send_signal(number)
  _wait_for(process, 'saving')
  for _ in range(3):
    process.send_signal(number)
  assert process.communicate(timeout=30) == ('', '')
  assert process.returncode == number


@pytest.mark.parametrize('number', [signal.SIGTERM, signal.SIGINT])
def test_a_signal_again_after_a_while_ends_it(number):
  process = _start('asks', 0.2, saves=60.0)
  process.send_signal(number)
  _wait_for(process, 'saving')
  time.sleep(0.5)
  process.send_signal(number)
  _, error = process.communicate(timeout=30)
  assert process.returncode == 128 + number
  assert error.startswith(SAID % number)


def test_an_own_signal_does_not_end_who_was_told_by_another():
  process = _start('told', 0.2, saves=0.7)
  _wait_for(process, 'saving')
  process.send_signal(signal.SIGTERM)
  assert process.communicate(timeout=30) == ('', '')
  assert process.returncode == signal.SIGTERM


def test_handlers_are_put_back():
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  with common._Signals() as signals:
    assert signal.getsignal(signal.SIGTERM) == signals._remember
    assert signals.number() == 0
  after = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert after == before


GIVEN_UP = """
from rmtl_jax.commands import common
common._quiet_orbax()
async def write():
  pass
kept = [write()]
kept.append(kept)  # until the process ends
"""


def test_what_orbax_gives_up_is_not_told():
  found = subprocess.run(
    [sys.executable, '-c', GIVEN_UP], capture_output=True, text=True, check=True
  )
  assert found.stderr == ''
  script = GIVEN_UP.replace('common._quiet_orbax()', '')
  found = subprocess.run(
    [sys.executable, '-c', script], capture_output=True, text=True, check=True
  )
  assert 'never awaited' in found.stderr


# Advice of a library, and a warning that is the user's.
ADVISED = """
from rmtl_jax.commands import common
import logging
common._quiet_orbax()
for path, text in (('/orbax/manager.py', 'advice'), ('/mine.py', 'warning')):
  log = logging.getLogger('absl')
  log.handle(log.makeRecord('absl', logging.WARNING, path, 1, text, (), None))
"""


def test_advice_of_orbax_is_not_told():
  found = subprocess.run(
    [sys.executable, '-c', ADVISED], capture_output=True, text=True, check=True
  )
  assert 'warning' in found.stderr and 'advice' not in found.stderr

"""What signals do to work that asks for them, and to work that does not."""

import signal
import subprocess
import sys

import pytest

from rmtl_jax.commands import common

SCRIPT = """
import sys, time
from rmtl_jax.commands import common
common.GRACE = 0.2
with common._Signals() as signals:
  print('ready', flush=True)
  if sys.argv[1] == 'asks':
    while not signals.number():
      time.sleep(0.01)
    time.sleep(0.5)  # saves
    sys.exit(signals.number())
  time.sleep(60)
"""


@pytest.mark.parametrize(
  ('how', 'number', 'code'),
  [
    ('asks', signal.SIGTERM, signal.SIGTERM),
    ('sleeps', signal.SIGTERM, 143),
    ('sleeps', signal.SIGINT, 130),
  ],
)
def test_work_that_does_not_ask_is_ended(how, number, code):
  process = subprocess.Popen(
    [sys.executable, '-c', SCRIPT, how],
    stdout=subprocess.PIPE,
    stderr=subprocess.PIPE,
    text=True,
  )
  assert process.stdout is not None and process.stdout.readline() == 'ready\n'
  process.send_signal(number)
  _, error = process.communicate(timeout=30)
  assert process.returncode == code
  said = f'rmtl: interrupted by signal {int(number)}; start the same command'
  assert error.startswith(said) == (how == 'sleeps')


def test_handlers_are_put_back():
  before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  with common._Signals() as signals:
    assert signal.getsignal(signal.SIGTERM) == signals._remember
    assert signals.number() == 0
  after = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
  assert after == before

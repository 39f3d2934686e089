"""docs/every_day.md as it stands: a night, a day, an evening."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import signal
import socket
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests import walks

pytestmark = pytest.mark.slow

for _package in ('flatbuffers', 'starlette', 'uvicorn', 'prometheus_client'):
  pytest.importorskip(_package)
_PAGE = 'docs/every_day.md'
_PORT = '8000'


def _free_port() -> str:
  with socket.socket() as one:
    one.bind(('127.0.0.1', 0))
    return str(one.getsockname()[1])


@contextlib.contextmanager
def _serving(directory, line):
  """The server of a line, until the block ends."""
  _, *rest = shlex.split(line)
  environment = {
    **os.environ,
    'PYTHONPATH': str(walks.ROOT),
    'XDG_CACHE_HOME': str(directory / 'cache'),
  }
  with (directory / 'serve.log').open('w') as log:
    server = subprocess.Popen(
      [sys.executable, '-m', 'rmtl_jax', *rest, '--nocompilation_cache'],
      cwd=directory,
      env=environment,
      stdout=log,
      stderr=log,
    )
    try:
      yield
    finally:
      server.send_signal(signal.SIGTERM)
      assert server.wait(60) == 0, (directory / 'serve.log').read_text()


@pytest.fixture(scope='module')
def walk(tmp_path_factory):
  """The directory after all of the page's commands."""
  directory = tmp_path_factory.mktemp('walk')
  port = _free_port()
  for code in walks.blocks(_PAGE, 'python'):
    name = code.splitlines()[0].removeprefix('# ')
    (directory / name).write_text(code.replace(_PORT, port))
  make, ask = walks.lines(_PAGE, 'python')
  commands = walks.lines(_PAGE)
  place = [line.split()[1] for line in commands].index('serve')
  for line in (make, *commands[:place]):
    walks.run(directory, line, {'train': walks.SHORT})
  with _serving(directory, commands[place].replace(_PORT, port)):
    walks.run(directory, ask, {})
  walks.run(directory, commands[place + 1], {})  # predict
  return directory


def test_the_model_of_the_night_beats_the_table_of_rates(walk):
  for name in ('before', 'yesterday'):
    path = walk / 'runs' / name / 'metrics.json'
    walks.assert_beats_rates(json.loads(path.read_text()), 'pretrain')


def test_the_server_answers_as_the_command_predicts(walk):
  answers = json.loads((walk / 'answers.json').read_text())
  scored = pq.read_table(walk / 'scored.parquet').slice(0, len(answers))
  for task in walks.TASKS:
    found = [answer[task] for answer in answers]
    np.testing.assert_allclose(found, scored[f'p_{task}'], rtol=0.0, atol=1e-5)

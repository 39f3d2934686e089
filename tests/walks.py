"""Walks: the commands and code of a page, run as they stand there."""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import subprocess
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import rmtl_jax

ROOT = pathlib.Path(rmtl_jax.__file__).parents[1]
TASKS = ('click', 'conversion')
# Enough rows for a model to beat rates; only few passes over them.
SHORT = (
  '--config.pretrain.max_epochs=3',
  '--config.critic.max_passes=2',
  '--config.finetune.max_epochs=1',
  '--config.evaluation.bootstrap=10',
)
# A model in place of the recommended ensemble, which other walks train.
SINGLE = ('--config.ensemble=1', '--config.variants=')


def blocks(page: str, language: str) -> list[str]:
  """The blocks of code of a page, in order; '' are those of a shell."""
  text = (ROOT / page).read_text(encoding='utf-8')
  if page.endswith('.py'):  # a notebook, its text in comments
    text = re.sub(r'^# ?', '', text, flags=re.MULTILINE)
  found = re.findall(r'^```(\w*)\n(.*?)^```$', text, re.DOTALL | re.MULTILINE)
  return [block for kind, block in found if kind == language]


def lines(page: str, name: str = 'rmtl') -> list[str]:
  """The commands of a page that begin with a word, each on one line."""
  text = ''.join(blocks(page, '')).replace('\\\n', ' ')
  found = [' '.join(line.split()) for line in text.splitlines()]
  return [line for line in found if line.startswith(f'{name} ')]


def run(
  directory: pathlib.Path, line: str, extra: Mapping[str, Iterable[str]]
) -> str:
  """Runs a line of a shell; returns what it printed.

  Args:
    directory: where it runs.
    line: `rmtl COMMAND ...` or `python FILE`.
    extra: further arguments, by command.
  """
  name, *rest = shlex.split(line, comments=True)
  if name == 'rmtl':
    command = rest[0]
    rest = ['-m', 'rmtl_jax', *rest, *extra.get(command, ())]
    if command not in ('init', 'prepare', 'describe'):
      # Tests share compiled programs in a place of their own (conftest.py).
      rest.append('--nocompilation_cache')
  else:
    assert name == 'python', line
  done = subprocess.run(
    [sys.executable, *rest],
    cwd=directory,
    capture_output=True,
    text=True,
    env={
      **os.environ,
      'XLA_FLAGS': '',  # thousands of rows: see conftest.py
      'PYTHONPATH': str(ROOT),
      'XDG_CACHE_HOME': str(directory / 'cache'),
    },
  )
  assert done.returncode == 0, (line, done.stderr)
  return done.stdout


def assert_beats_rates(record: Mapping[str, Any], stage: str) -> None:
  """A run's model beats user rate x item rate, calibrated, on test rows."""
  model, rates = record['stages'][stage], record['baseline']
  for task in record['tasks']:
    found, least = model[task], rates[task]
    assert found['auc'] > least['auc'], (task, found, least)
    assert found['logloss'] < least['logloss'], (task, found, least)

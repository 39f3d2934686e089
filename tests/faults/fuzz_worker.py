"""Runs the launcher on mutants in a process of its own, and judges it.

`python -m tests.faults.fuzz_worker BASE SCRATCH` reads lines `TARGET\tNUMBER`
and answers each with one line of JSON. Whoever started it ends it when it is
silent for too long.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pathlib
import resource
import shutil
import sys
import traceback
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from rmtl_jax import cli
from rmtl_jax import run as run_lib
from tests.faults import fuzz_targets, mutations

# Address space: a request for absurd memory fails, and nobody else suffers.
_LIMIT = 12 * 2**30
_LONGEST_LINE = 2100


class CriticValues(Exception):
  """What was wrong with how the program answered."""


def main(base: pathlib.Path, scratch: pathlib.Path) -> None:
  """Answers lines until there are no more."""
  resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)  # what the program prints is no answer
  for request in sys.stdin:
    name, number = request.rstrip('\n').split('\t')
    answers.write(json.dumps(attempt(base, scratch, name, int(number))) + '\n')


def attempt(
  base: pathlib.Path, scratch: pathlib.Path, name: str, number: int
) -> dict[str, Any]:
  """One mutant of one target.

  Returns:
    `target`, `number`, `what` was done to which `file`, the `verdict`
    (`handled`, `refused` or `lost`) and the `line` that was said.
  """
  target = fuzz_targets.TARGETS[name]
  shutil.rmtree(scratch, ignore_errors=True)
  shutil.copytree(base / target.base, scratch, symlinks=True)
  rng = np.random.default_rng([zlib.crc32(name.encode()), number])
  files = target.files(scratch)
  path = files[int(rng.integers(len(files)))]
  what, data = mutations.mutate(rng, path.name, path.read_bytes())
  path.write_bytes(data)
  target.seal(scratch)
  record = {
    'target': name,
    'number': number,
    'file': str(path.relative_to(scratch)),
    'what': what,
  }
  try:
    verdict, line = _judge(target, scratch, path.name)
  except CriticValues as error:
    return record | {'verdict': 'lost', 'line': str(error)}
  return record | {'verdict': verdict, 'line': line}


def _judge(
  target: fuzz_targets.Target, scratch: pathlib.Path, file: str
) -> tuple[str, str]:
  before = _tree(scratch)
  with (
    _configurations_alone(target),
    _standard_input(scratch, target.stdin),
    said() as (out, err),
  ):
    try:
      code = cli.main(['rmtl', *target.argv(scratch)])
    except BaseException:
      raise CriticValues(traceback.format_exc()) from None
  del out
  if code == 130 and target.name.startswith('config '):
    return 'handled', ''  # it came as far as training
  left = sorted(_tree(scratch) - before)
  if any('partial' in name or 'spill' in name for name in left):
    raise CriticValues(f'left behind: {left}')
  if code == 0:
    try:
      target.check(scratch)
    except Exception:
      raise CriticValues(f'not whole: {traceback.format_exc()}') from None
    return 'handled', ''
  line = one_line(code, err.getvalue())
  for name in left:
    if name.split('/')[0] not in target.created:
      raise CriticValues(f'left behind after {line!r}: {left}')
  if any(fuzz_targets.FINISHED.search(name) for name in left):
    raise CriticValues(f'looks finished after {line!r}: {left}')
  named = (file, str(scratch), 'as_of: ', 'standard input: ')
  if not any(name in line for name in named):
    raise CriticValues(f'names no file: {line}')
  return 'refused', line


def one_line(code: int, text: str) -> str:
  """The line that was said; CriticValues says what is wrong with it."""
  # Warnings and progress may stand above it.
  lines = text.splitlines()
  said_last = lines[-1] if lines else ''
  if code != 2:
    raise CriticValues(f'exit code {code}: {text[-2000:]}')
  if not said_last.startswith('rmtl: ') or 'Traceback' in text:
    raise CriticValues(f'no clear line: {text[-2000:]}')
  if sum(line.startswith('rmtl: ') for line in lines) != 1:
    raise CriticValues(f'many lines: {text[-2000:]}')
  if len(said_last) > _LONGEST_LINE:
    raise CriticValues(f'{len(said_last)} characters: {said_last[:300]}')
  if not said_last.isprintable():
    raise CriticValues(f'control characters: {said_last!r:.300}')
  return said_last


@contextlib.contextmanager
def said() -> Iterator[tuple[io.StringIO, io.StringIO]]:
  """(standard output, standard error) of the block."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    yield out, err


@contextlib.contextmanager
def _configurations_alone(target: fuzz_targets.Target) -> Iterator[None]:
  """Without training where it is the settings that are bad."""
  if not target.name.startswith('config '):
    yield
    return
  whole = run_lib.train

  def train(*_: Any, **__: Any) -> dict[str, Any]:
    raise KeyboardInterrupt

  run_lib.train = train
  try:
    yield
  finally:
    run_lib.train = whole


@contextlib.contextmanager
def _standard_input(scratch: pathlib.Path, name: str) -> Iterator[None]:
  """A file in the place of standard input, where there is one."""
  if not name:
    yield
    return
  before = sys.stdin
  with (scratch / name).open() as file:
    sys.stdin = file
    try:
      yield
    finally:
      sys.stdin = before


def _tree(directory: pathlib.Path) -> set[str]:
  return {str(p.relative_to(directory)) for p in directory.rglob('*')}


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]))

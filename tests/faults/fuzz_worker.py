"""Runs commands on mutants: `python -m tests.faults.fuzz_worker SCRATCH N`.

Prints a line of JSON before and after each of N mutants, so that whoever
started the process knows which one it died of.
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import resource
import shutil
import sys
import traceback
import zlib

import numpy as np

from rmtl_jax import cli
from tests.faults import mutations, sound

# Address space: a request for absurd memory fails, and nobody else suffers.
_LIMIT = 12 * 2**30


def main(scratch: pathlib.Path, count: int) -> None:
  """Tries so many mutants, the targets in turn."""
  resource.setrlimit(resource.RLIMIT_AS, (_LIMIT, _LIMIT))
  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)  # what the program prints is no answer
  names = list(sound.TARGETS)
  for number in range(count):
    name = names[number % len(names)]
    record = {'target': name, 'number': number}
    answers.write(json.dumps(record) + '\n')
    try:
      verdict = attempt(sound.TARGETS[name], scratch, name, number)
    except BaseException:
      verdict = traceback.format_exc()
    answers.write(json.dumps(record | {'verdict': verdict}) + '\n')


def attempt(
  target: sound.Target, scratch: pathlib.Path, name: str, number: int
) -> str:
  """One mutant of one target: `handled` or `refused`.

  Raises:
    AssertionError: neither, or something was left behind.
  """
  shutil.rmtree(scratch, ignore_errors=True)
  shutil.copytree(sound.shared() / target.base, scratch)
  rng = np.random.default_rng([zlib.crc32(name.encode()), number])
  argv, named = list(target.argv(scratch)), [str(scratch), 'as_of: ']
  if target.flags:
    named = ['']  # values that belong together name each other
    argv.append(mutations.flag(rng, argv[0]))
    (scratch / 'a' / 'b').mkdir(parents=True)
  else:
    files = target.files(scratch)
    path = files[int(rng.integers(len(files)))]
    path.write_bytes(mutations.mutate(rng, path.name, path.read_bytes()))
    named += [path.name, 'standard input: ']
  target.seal(scratch)
  before = _tree(scratch)
  with contextlib.ExitStack() as stack:
    if target.flags:  # a value may be a path
      stack.enter_context(contextlib.chdir(scratch / 'a' / 'b'))
    if target.stdin:
      file = stack.enter_context((scratch / target.stdin).open())
      stack.callback(setattr, sys, 'stdin', sys.stdin)
      sys.stdin = file
    _, err = stack.enter_context(sound.said())
    code = cli.main(['rmtl', *argv])
  left = sorted(_tree(scratch) - before)
  assert not any('partial' in one or 'spill' in one for one in left), left
  if code == 0:
    target.check(scratch)
    return 'handled'
  line = sound.one_line(code, err.getvalue())
  for one in left:
    assert one.split('/')[0] in target.created, (line, left)
    assert not one.endswith(('metrics.json', 'test.json')), (line, left)
  assert any(one in line for one in named), line
  return 'refused'


def _tree(directory: pathlib.Path) -> set[str]:
  return {str(p.relative_to(directory)) for p in directory.rglob('*')}


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))

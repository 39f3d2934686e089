from __future__ import annotations

import subprocess
import sys

import pytest

from rmtl_jax.training import memory

# In a process of its own: a listener stays for good.
PROGRAM = """
import jax
from rmtl_jax.training import memory

calls = []
memory._trimmer = lambda: calls.append
assert memory.release_after_compiling()
assert memory.release_after_compiling()
double = jax.jit(lambda x: 2.0 * x)
double(1.0)
double(2.0)
print(calls)
"""


def test_what_compiling_freed_is_given_back_once_per_program():
  found = subprocess.run(
    [sys.executable, '-c', PROGRAM], capture_output=True, text=True, check=True
  )
  assert found.stdout == '[0]\n'


@pytest.mark.skipif(sys.platform != 'linux', reason='needs glibc')
def test_glibc_can_and_other_systems_are_left_alone(monkeypatch):
  trim = memory._trimmer()
  assert trim is None or trim(0) in (0, 1)
  monkeypatch.setattr(sys, 'platform', 'darwin')
  assert memory._trimmer() is None


# In a process of its own: others' programs would be forgotten too.
FORGETS = """
import pathlib
import jax
from rmtl_jax.training import memory

def mappings():
  return memory._MAPPINGS.read_bytes().count(b'\\n')

compiled = []

@jax.jit
def double(x):
  compiled.append(x)
  return 2.0 * x

double(1.0)
assert not memory.forget_programs()
double(2.0)
assert len(compiled) == 1
kept = [jax.jit(lambda x, i=i: jax.numpy.sin(x) + i) for i in range(20)]
for program in kept:
  program(1.0)
before = mappings()
assert memory.forget_programs(share=0.0)
assert mappings() < before - 20
double(3.0)
assert len(compiled) == 2
memory._MOST_MAPPINGS = pathlib.Path('not there')
assert not memory.forget_programs(share=0.0)
print('done')
"""


@pytest.mark.skipif(sys.platform != 'linux', reason='reads /proc')
def test_programs_are_forgotten_where_their_mappings_are_many():
  found = subprocess.run(
    [sys.executable, '-c', FORGETS], capture_output=True, text=True, check=False
  )
  assert (found.stdout, found.returncode) == ('done\n', 0), found.stderr

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

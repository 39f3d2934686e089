"""Compiled programs on disk."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import zlib
from concurrent import futures

import jax.numpy as jnp
import pytest

from rmtl_jax.runtime import programs

# In a process of its own: JAX's settings are the process's.
PROGRAM = """
import jax, numpy as np
from rmtl_jax.runtime import programs

programs.keep(least_seconds=0.0)
jax.jit(lambda x: x * 3.25 + 17.0)(np.arange(5.0)).block_until_ready()
"""


def _file(path, content, age):
  path.write_bytes(content)
  os.utime(path, (time.time() - age,) * 2)


@pytest.mark.usefixtures('told_of_64_bits')
def test_a_function_of_32_bits_and_a_thread_of_it():
  def zero():
    return jnp.zeros(())

  def begun():
    first = programs.enter_32_bits
    with futures.ThreadPoolExecutor(1, initializer=first) as pool:
      return zero(), pool.submit(zero).result()

  found = programs.in_32_bits(begun)()
  assert [one.dtype for one in found] == [jnp.float32] * 2
  assert zero().dtype == jnp.float64  # what it was told is as it was


def test_programs_that_were_cut_short_are_deleted_once_settled(tmp_path):
  whole = zlib.compress(b'program' * 100)
  _file(tmp_path / 'whole-cache', whole, 3600)
  _file(tmp_path / 'cut-cache', whole[:-5], 3600)
  _file(tmp_path / 'empty-cache', b'', 3600)
  _file(tmp_path / 'other-cache', b'no program', 3600)
  _file(tmp_path / 'zstd-cache', b'\x28\xb5\x2f\xfd...', 3600)
  _file(tmp_path / 'cut', whole[:-5], 3600)
  _file(tmp_path / 'young-cache', whole[:-5], 0)
  programs.drop_cut(tmp_path)
  left = {path.name for path in tmp_path.iterdir()}
  assert left == {'.checked', 'whole-cache', 'zstd-cache', 'cut', 'young-cache'}


def test_a_program_is_checked_once(tmp_path):
  whole = zlib.compress(b'program' * 100)
  _file(tmp_path / 'checked-cache', whole, 3600)
  programs.drop_cut(tmp_path)
  _file(tmp_path / 'checked-cache', whole[:-5], 3600)
  _file(tmp_path / 'new-cache', whole[:-5], 61)
  os.utime(tmp_path / '.checked', (time.time() - 600,) * 2)
  programs.drop_cut(tmp_path)
  left = {path.name for path in tmp_path.iterdir()}
  assert left == {'.checked', 'checked-cache'}


def test_a_cut_program_is_compiled_and_kept_again_without_a_word(tmp_path):
  env = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path), 'JAX_PLATFORMS': 'cpu'}

  def run():
    found = subprocess.run(
      [sys.executable, '-c', PROGRAM],
      env=env,
      capture_output=True,
      text=True,
      check=True,
    )
    assert found.stdout + found.stderr == ''
    place = tmp_path / 'rmtl_jax' / 'xla'
    return {path: path.read_bytes() for path in place.glob('*-cache')}

  kept = run()
  assert kept
  for path, content in kept.items():
    path.write_bytes(content[: len(content) // 2])
  cut = run()  # they might be being written: they stay, and nothing is said
  assert {len(cut[path]) for path in kept} == {
    len(content) // 2 for content in kept.values()
  }
  for path in kept:
    os.utime(path, (time.time() - 3600,) * 2)
  os.utime(tmp_path / 'rmtl_jax' / 'xla' / '.checked', (0, 0))
  again = run()
  assert {p: len(c) for p, c in again.items()} == {
    p: len(c) for p, c in kept.items()
  }

"""Compiled programs on disk."""

from __future__ import annotations

import os
import subprocess
import sys

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


@pytest.mark.usefixtures('told_of_64_bits')
def test_a_function_of_32_bits():
  found = programs.in_32_bits(lambda: jnp.zeros(()))()
  assert found.dtype == jnp.float32
  assert jnp.zeros(()).dtype == jnp.float64  # what it was told is as it was


def test_programs_are_kept_and_a_cut_one_is_compiled_without_a_word(tmp_path):
  env = {**os.environ, 'XDG_CACHE_HOME': str(tmp_path), 'JAX_PLATFORMS': 'cpu'}

  def run():
    line = [sys.executable, '-c', PROGRAM]
    found = subprocess.run(
      line, env=env, capture_output=True, text=True, check=True
    )
    assert found.stdout + found.stderr == ''
    return list((tmp_path / 'rmtl_jax' / 'xla').glob('*-cache'))

  kept = run()
  assert kept
  for path in kept:
    path.write_bytes(path.read_bytes()[:20])
  run()

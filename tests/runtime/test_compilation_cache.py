"""Compiled programs are kept between processes."""

from __future__ import annotations

import jax
import numpy as np

from rmtl_jax.runtime import programs


def test_programs_are_kept_unless_jax_has_a_place(tmp_path, monkeypatch):
  before = (
    jax.config.jax_compilation_cache_dir,
    jax.config.jax_persistent_cache_min_compile_time_secs,
  )
  monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
  try:
    jax.config.update('jax_compilation_cache_dir', str(tmp_path / 'own'))
    programs.keep_unless_set(least_seconds=0.0)
    assert jax.config.jax_compilation_cache_dir == str(tmp_path / 'own')
    jax.config.update('jax_compilation_cache_dir', None)
    programs.keep_unless_set(least_seconds=0.0)
    place = tmp_path / 'rmtl_jax' / 'xla'
    assert jax.config.jax_compilation_cache_dir == str(place)
    jax.jit(lambda x: x * 3.25 + 17.0)(np.arange(5.0)).block_until_ready()
    assert any(place.iterdir())
  finally:
    jax.config.update('jax_compilation_cache_dir', before[0])
    jax.config.update('jax_persistent_cache_min_compile_time_secs', before[1])
    programs.compilation_cache.reset_cache()

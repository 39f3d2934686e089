"""What makes small requests quick: few programs, compiled before the first."""

from __future__ import annotations

import concurrent.futures

import jax
import numpy as np
import pytest

import rmtl_jax
from rmtl_jax.runtime import programs
from rmtl_jax.serving import exported, predictor, sizes
from rmtl_jax.serving.export import writer as export_writer
from tests import tiers
from tests.serving import past_run, table_run

pytest.importorskip('flatbuffers')
ROWS = 40


@pytest.fixture(scope='module')
def export_dir(run_dir, tmp_path_factory):
  directory = tmp_path_factory.mktemp('latency') / 'out'
  export_writer.export(predictor.load(run_dir, 'pretrain'), directory)
  return directory


def _load(kind, run_dir, export_dir, **settings):
  if kind == 'run':
    return predictor.load(run_dir, 'pretrain', **settings)
  return exported.load(export_dir, **settings)


def _compiled(model):
  """Number of programs of small requests."""
  program = {'run': '_few', 'export': '_call'}
  kind = 'run' if isinstance(model, predictor.Predictor) else 'export'
  return getattr(model, program[kind])._cache_size()


def _raw(rows=ROWS):
  return table_run.table(rows).select(table_run.FEATURES)


@pytest.mark.parametrize('kind', ['run', 'export'])
def test_requests_of_all_sizes_take_few_programs(kind, run_dir, export_dir):
  model, raw = _load(kind, run_dir, export_dir), _raw()
  assert _compiled(model) == 0
  for rows in range(1, ROWS + 1):
    model.predict(raw.slice(0, rows))
  # Of 8, 32 and 128 rows.
  assert _compiled(model) == 3


def test_load_warms_up_unless_told(run_dir, export_dir):
  for directory in (run_dir, export_dir):
    assert _compiled(rmtl_jax.load(directory)) == 3
    assert _compiled(rmtl_jax.load(directory, warm_up=0)) == 0
    assert _compiled(rmtl_jax.load(directory, warm_up=1)) == 1


@pytest.mark.parametrize('settings', tiers.some([{}, {'ensemble': 2}], [{}]))
def test_small_requests_get_the_numbers_of_large_ones(
  run_dir, monkeypatch, settings
):
  model, raw = past_run.untrained(run_dir, **settings), _raw(200)
  few = model.predict(raw)
  monkeypatch.setattr(sizes, 'MOST_ROWS', 0)
  many = model.predict(raw)
  assert np.ptp(few['click']) > 0.05
  for task, values in few.items():
    np.testing.assert_allclose(values, many[task], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize('kind', ['run', 'export'])
def test_single_rows_from_threads(kind, run_dir, export_dir):
  """Of one size, a row's numbers don't depend on its neighbours."""
  model, raw = _load(kind, run_dir, export_dir), _raw()
  eight = model.predict(raw.slice(0, 8))['click']
  rows = np.random.default_rng(0).permutation(np.arange(8).repeat(6))
  with concurrent.futures.ThreadPoolExecutor(8) as pool:
    found = list(pool.map(lambda i: model.predict(raw.slice(i, 1)), rows))
  assert len({*eight.tolist()}) > 4
  np.testing.assert_array_equal(
    np.concatenate([one['click'] for one in found]), eight[rows]
  )


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

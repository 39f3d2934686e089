from __future__ import annotations

import jax
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.runtime import rounding, workdir
from tests import tiny

AMD = 'processor\t: 0\nflags\t\t: fpu sse2 avx512f avx512_bf16 avx512vbmi\n'
OLD = 'processor\t: 0\nflags\t\t: fpu sse2 avx512f\n'


def config(name: str, units: int = 512) -> config_lib.Config:
  network = config_lib.NetworkConfig(
    matmul_precision=name, bottom_units=(units, 16)
  )
  return config_lib.Config(network=network)


def of(path, given: config_lib.Config) -> str:
  return rounding.resolved(path, given).network.matmul_precision


@pytest.fixture
def processor(tmp_path, monkeypatch):
  file = tmp_path / 'cpuinfo'
  file.write_text(AMD)
  monkeypatch.setattr(rounding, '_PROCESSOR', file)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  return file


def test_multiplies_reads_the_flags(tmp_path):
  file = tmp_path / 'cpuinfo'
  assert not rounding.multiplies(file)
  for text, expected in ((AMD, True), (OLD, False), ('', False)):
    file.write_text(text)
    assert rounding.multiplies(file) is expected


def test_auto_rounds_wide_layers_on_one_cpu_that_can(
  tmp_path, processor, monkeypatch
):
  run = tmp_path / 'run'
  assert of(run, config('auto')) == 'bfloat16'
  assert of(run, config('auto', rounding.LEAST_UNITS - 1)) == 'default'
  monkeypatch.setattr(jax, 'device_count', lambda: 2)
  assert of(run, config('auto')) == 'default'
  monkeypatch.setattr(jax, 'device_count', lambda: 1)
  monkeypatch.setattr(jax, 'default_backend', lambda: 'gpu')
  assert of(run, config('auto')) == 'default'
  monkeypatch.setattr(jax, 'default_backend', lambda: 'cpu')
  processor.write_text(OLD)
  assert of(run, config('auto')) == 'default'


def test_a_named_precision_stays(tmp_path, processor):
  for name in ('default', 'bfloat16'):
    given = config(name)
    assert rounding.resolved(tmp_path / 'run', given) is given


@pytest.mark.parametrize('first', ['default', 'bfloat16'])
def test_a_run_keeps_the_precision_that_it_has_started_with(
  tmp_path, processor, first
):
  run, data = tmp_path / 'run', tmp_path / 'data'
  tiny.write_prepared(data, sessions=30)
  run.mkdir()
  processor.write_text(AMD if first == 'bfloat16' else OLD)
  workdir.create(run, rounding.resolved(run, config('auto')), data)
  processor.write_text(OLD if first == 'bfloat16' else AMD)
  assert of(run, config('auto')) == first

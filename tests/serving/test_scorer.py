"""What runs and exported models share: threads, what is said of a call."""

from __future__ import annotations

import concurrent.futures
import warnings

import numpy as np
import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax.serving import predictor
from rmtl_jax.serving.export import export_writer
from tests.serving import table_run

pytest.importorskip('flatbuffers')
THREADS = 8


@pytest.fixture(scope='module')
def models(run_dir, tmp_path_factory):
  """A run and its export, each in a fresh state for every module."""
  directory = tmp_path_factory.mktemp('scorers') / 'out'
  run = predictor.load(run_dir, 'pretrain')
  export_writer.export(run, directory)
  return {'run': run, 'export': rmtl_jax.load(directory)}


def check_threads(model, parts):
  """Every answer of many threads is the one that a single thread gets."""
  expected = [model.score(*part) for part in parts]
  distinct = {str(scored.probabilities['click']) for scored in expected}
  assert len(distinct) == len(parts)
  order = np.random.default_rng(0).permutation(np.arange(len(parts)).repeat(3))
  with concurrent.futures.ThreadPoolExecutor(THREADS) as pool:
    found = list(pool.map(lambda i: model.score(*parts[i]), order))
  for i, scored in zip(order, found, strict=True):
    for task, values in expected[i].probabilities.items():
      np.testing.assert_array_equal(scored.probabilities[task], values)
    assert scored.unseen == expected[i].unseen
    assert scored.warnings == expected[i].warnings


@pytest.mark.parametrize('kind', ['run', 'export'])
def test_threads(models, kind):
  raw = table_run.table().select(table_run.FEATURES)
  strangers = pa.array(['nobody'] * 40)
  parts = [(raw.slice(i * 40, 40),) for i in range(10)]
  parts[3] = (parts[3][0].set_column(0, 'Customer No', strangers),)
  assert models[kind].score(*parts[3]).unseen['user'] == 1.0
  check_threads(models[kind], parts)


def test_unseen_values_are_told_by_every_call(models):
  raw = table_run.table(30).select(table_run.FEATURES)
  strange = raw.set_column(1, 'item', pa.array([f'x{n}' for n in range(30)]))
  line = "field 'item': not one of 30 values of column 'item'"
  model = models['run']
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    good = model.predict(raw)
  scored = model.score(raw)
  np.testing.assert_array_equal(scored.probabilities['click'], good['click'])
  assert scored.warnings == [] and set(scored.unseen) == {
    'user',
    'item',
    'tags',
  }
  with pytest.warns(UserWarning, match=line) as told:
    model.predict(strange)
  assert told[0].filename == __file__
  scored = model.score(strange)
  assert scored.unseen['item'] == 1.0 and scored.unseen['tags'] == 0.0
  assert model.score(raw).warnings == []

"""LightGBM beside the networks: its features, its choice, its absence."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys

import numpy as np
import pytest

from benchmarks import lightgbm_baseline as lightgbm_lib
from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from tests import tiny


def test_fields_by_what_they_are(tmp_path):
  manifest = tiny.write_prepared(tmp_path)
  binned = manifest_lib.Field(
    'asof_gap', 'categorical', size=300, details={'transform': 'bins'}
  )
  manifest = dataclasses.replace(manifest, fields=(*manifest.fields, binned))
  # Of user 29 values, of item 19.
  assert lightgbm_lib.part(manifest, 29) == ([2], [0, 1], [])
  assert lightgbm_lib.part(manifest, 28) == ([2], [1], [0])


def test_bins_are_read_in_their_order():
  """Ids of a vocabulary are sorted by count."""
  field = manifest_lib.Field(
    'asof_gap', 'categorical', 4, details={'transform': 'bins'}
  )
  with pytest.raises(types.InputError, match='no order of its bins'):
    lightgbm_lib.bins(field, np.array([0]))
  field.details['order'] = [2, 0, 5]
  found = lightgbm_lib.bins(field, np.array([1, 0, 3, 2], np.int32))
  np.testing.assert_array_equal(found, [2, np.nan, 5, 0])


def test_lists_are_indicators():
  tags = manifest_lib.Field('tags', 'multi_valued', size=4, width=3)
  more = manifest_lib.Field('more', 'multi_valued', size=2, width=1)
  slots = np.array([[3, 1, -1, 0], [0, -1, -1, 1], [2, 2, 3, -1]], np.int32)
  first, second = lightgbm_lib.indicators(slots, [tags, more])
  np.testing.assert_array_equal(first, [[1, 0, 1], [0, 0, 0], [0, 1, 1]])
  np.testing.assert_array_equal(second, [[0], [1], [0]])


def test_ids_are_encoded_without_the_fold_of_the_row():
  rng = np.random.default_rng(0)
  ids = rng.integers(0, 4, 200).astype(np.int32)
  labels = (rng.random(200) < 0.3).astype(np.float32)
  encoded, rates = lightgbm_lib.encode(ids, labels, 4, seed=1)
  of_two = labels[ids == 2]
  expected = (of_two.sum() + 20 * labels.mean()) / (len(of_two) + 20)
  assert rates[2] == pytest.approx(expected)
  assert rates[0] == pytest.approx(labels.mean())
  fold = np.random.default_rng(1).integers(0, lightgbm_lib.FOLDS, 200)
  for row in np.flatnonzero(ids == 3)[:5]:
    others = labels[fold != fold[row]]
    mine = labels[(fold != fold[row]) & (ids == 3)]
    assert encoded[row] == pytest.approx(
      (mine.sum() + 20 * others.mean()) / (len(mine) + 20)
    )
  # A row's own label never reaches its feature.
  changed = labels.copy()
  changed[7] = 1 - changed[7]
  again, _ = lightgbm_lib.encode(ids, changed, 4, seed=1)
  same = fold == fold[7]
  np.testing.assert_array_equal(again[same], encoded[same])
  assert not np.array_equal(again[~same], encoded[~same])


def test_ids_are_encoded_without_the_session_of_the_row():
  ids, labels = np.ones(40, np.int32), np.repeat([0.0, 1.0], 20)
  session = np.arange(40) // 4
  encoded, _ = lightgbm_lib.encode(ids, labels, 2, 3, session=session)
  np.testing.assert_array_equal(encoded, np.repeat(encoded[::4], 4))
  fold = np.random.default_rng(3).integers(0, lightgbm_lib.FOLDS, 10)
  others = labels[np.repeat(fold != fold[0], 4)]
  rate = others.mean()
  expected = (others.sum() + 20 * rate) / (len(others) + 20)
  assert encoded[0] == pytest.approx(expected)


def test_labels_that_say_nothing_are_not_counted(tmp_path, monkeypatch):
  """Neither where an id is encoded, nor by a model, nor on test rows."""
  pytest.importorskip('lightgbm')
  ids = np.array([1, 1, 1, 2], np.int32)
  labels, weight = np.array([1, 0, 0, 1]), np.array([1, 1, 0, 1], np.float32)
  _, rates = lightgbm_lib.encode(ids, labels, 3, 0, weight)
  assert rates[1] == pytest.approx((1 + 20 * 2 / 3) / 22)
  tiny.write_prepared(tmp_path, sessions=300)
  read = columns_lib.read_split

  def masked(noise):
    """Every third label is unknown: whatever stands there is the same."""

    def split(*args):
      found = read(*args)
      known = np.arange(len(found.labels)) % 3 > 0
      draw = np.random.default_rng(noise).integers(0, 2, found.labels.shape)
      return dataclasses.replace(
        found,
        labels=np.where(known[:, None], found.labels, draw).astype(np.float32),
        sample_weight=np.repeat(known[:, None], 2, 1).astype(np.float32),
      )

    return split

  records = []
  for noise in range(2):
    monkeypatch.setattr(columns_lib, 'read_split', masked(noise))
    click, _ = lightgbm_lib.measure(str(tmp_path), [0], 25)
    records.append([click['auc'], click['logloss']])
  assert records[0] == records[1]


def test_a_search_on_tiny_data(tmp_path):
  pytest.importorskip('lightgbm')
  tiny.write_prepared(tmp_path, sessions=300)
  click, conversion = lightgbm_lib.measure(str(tmp_path), [0, 1], 25)
  assert (click['task'], conversion['task']) == tiny.TASKS
  assert click['left_out'] == []
  # Users are ids, items are small: 1 + 1 + 1 + 3 + 2 models.
  assert [run['models'] for run in click['runs']] == [8, 8]
  assert click['auc']['n'] == 2
  assert click['auc']['mean'] > 0.7
  assert click['rates']['logloss'] > click['logloss']['mean']
  assert set(lightgbm_lib.row(click)) == set(lightgbm_lib.row(conversion))
  json.dumps([click, conversion], allow_nan=False)


def test_equal_seeds_give_equal_figures(tmp_path):
  pytest.importorskip('lightgbm')
  tiny.write_prepared(tmp_path)
  figure, _ = lightgbm_lib.measure(str(tmp_path), [3, 3], 25)
  first, second = figure['runs']
  assert first | {'seconds': 0} == second | {'seconds': 0}


def test_absence_is_one_line(tmp_path):
  tiny.write_prepared(tmp_path)
  program = (
    "import sys; sys.modules['lightgbm'] = None;"
    'from absl import app; from benchmarks import lightgbm_baseline as module;'
    'module.define_flags(); app.run(module.main)'
  )
  done = subprocess.run(
    [sys.executable, '-c', program, f'--data_dir={tmp_path}'],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 2
  assert done.stderr == (
    'lightgbm_baseline: the baseline needs the package lightgbm: pip install'
    ' lightgbm\n'
  )

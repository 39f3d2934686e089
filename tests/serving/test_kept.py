"""Histories that are kept: requests get what the whole history gives."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from tests import tiers
from tests.serving import past_run


@pytest.fixture(scope='module')
def loaded(past_dir):
  return past_run.untrained(past_dir)


def in_order(raw):
  return raw.sort_by('time')


def same(found, expected):
  assert list(found) == list(expected)
  for task, values in expected.items():
    np.testing.assert_array_equal(found[task], values)


def pasts(model, rows, history):
  """The as-of columns that the encoder gets, as Arrow."""
  seen, encode = [], model.encoder.encode

  def spy(chunk, notes=None):
    seen.append(chunk.table.select(model.needs.columns))
    return encode(chunk, notes)

  model.encoder.encode = spy
  try:
    found = model.predict(rows, history)
  finally:
    del model.encoder.encode
  return found, pa.concat_tables(seen)


@pytest.mark.slow
@pytest.mark.parametrize('seed', tiers.some(range(4), (0,)))
def test_requests_see_what_the_whole_history_gives_them(loaded, seed):
  raw = in_order(past_run.log(seed=seed))
  rng = np.random.default_rng(seed)
  kept = loaded.keep_history(raw.slice(0, 900))
  assert len(kept) == 900
  for _ in range(4):
    count = int(rng.integers(1, 6))
    # Rows after the history, as they come, or any: some are in it.
    places = np.arange(900, 900 + count)
    if rng.random() < 0.5:
      places = np.sort(rng.choice(len(raw), count, replace=False))
    rows = raw.take(pa.array(places)).drop_columns(['clicked', 'bought'])
    found, columns = pasts(loaded, rows, kept)
    expected, whole = pasts(loaded, rows, raw.slice(0, 900))
    assert columns.equals(whole)
    same(found, expected)


def test_rows_are_appended(loaded):
  raw = in_order(past_run.log(seed=5))
  kept = loaded.keep_history(raw.slice(0, 300))
  loaded.extend_history(kept, raw.slice(300, 400))
  loaded.extend_history(kept, raw.slice(700, 0))
  assert len(kept) == 700
  rows = raw.slice(700, 5)
  same(loaded.predict(rows, kept), loaded.predict(rows, raw.slice(0, 700)))


def test_bad_rows_leave_a_history_as_it_was(loaded):
  raw = in_order(past_run.log())
  kept = loaded.keep_history(raw.slice(0, 600))
  bad = raw.slice(600, 5).drop_columns(['clicked'])
  bad = bad.append_column('clicked', pa.array([1, 1, 1, 2, 1]))
  with pytest.raises(types.InputError, match="row 4, column 'clicked'"):
    loaded.extend_history(kept, bad)
  assert len(kept) == 600
  loaded.extend_history(kept, raw.slice(600, 100))
  rows = raw.slice(700, 3)
  same(loaded.predict(rows, kept), loaded.predict(rows, raw.slice(0, 700)))


def test_a_history_of_another_model_is_refused(loaded, tmp_path):
  other = past_run.untrained(
    past_run.prepare_run(tmp_path, raw=past_run.log(400), as_of=('counts',)),
  )
  kept = other.keep_history(past_run.log(400))
  with pytest.raises(types.InputError, match='of other data'):
    loaded.predict(past_run.log(400).slice(0, 1), kept)

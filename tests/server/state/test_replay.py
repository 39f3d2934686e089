"""A log is replayed: the state's features are those of `predict --history`."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import rows as rows_lib
from tests.serving import past_run

LABELS = ['clicked', 'bought']


@pytest.fixture(scope='module')
def raw():
  """In the order of time, without repeats, which are one row to the state."""
  table = past_run.log(700, seed=3).slice(0, 690)
  return table.sort_by('time')


@pytest.fixture(scope='module')
def scorer(tmp_path_factory, raw):
  directory = tmp_path_factory.mktemp('replay')
  return past_run.untrained(past_run.prepare_run(directory, raw=raw))


def expected_columns(scorer, rows, history):
  """The as-of columns that the encoder gets, as Arrow, and predictions."""
  seen, encode = [], scorer.encoder.encode

  def spy(chunk, notes=None):
    seen.append(chunk.table.select(scorer.needs.columns))
    return encode(chunk, notes)

  scorer.encoder.encode = spy
  try:
    found = scorer.predict_proba(rows, history)
  finally:
    del scorer.encoder.encode
  return pa.concat_tables(seen), found


def start(scorer, directory):
  keeper = keeper_lib.Keeper(scorer, str(directory))
  keeper.take_up(scorer)
  return keeper


def post(keeper, scorer, table):
  (found,) = keeper.append(scorer, [table])
  assert isinstance(found, dict), found
  return found


def compare(keeper, scorer, rows, history):
  past, earlier = keeper.look_up(scorer, rows_lib.rows_of_table(rows))
  columns, _ = expected_columns(scorer, rows, history)
  for name in scorer.needs.columns:
    given = past[name].to_pylist()
    assert given == columns[name].to_pylist(), (name, rows.to_pylist())
  return past, earlier


def test_features_equal_those_of_a_whole_history(scorer, raw, tmp_path):
  keeper = start(scorer, tmp_path)
  post(keeper, scorer, raw.slice(0, 400))
  rng = np.random.default_rng(0)
  for at in range(400, 520):
    row = raw.slice(at, 1)
    if rng.random() < 0.5:
      rows = row.drop_columns(LABELS)
      compare(keeper, scorer, rows, raw.slice(0, at))
    post(keeper, scorer, row)
  keeper.close()

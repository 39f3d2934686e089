"""NaN and infinity in whole runs: stopped and named, or left out."""

from __future__ import annotations

import pyarrow.parquet as pq
import pytest

from rmtl_jax import run
from rmtl_jax.runtime import progress
from tests import tiny

QUIET = progress.Progress(quiet=True)
ROW = 77


@pytest.fixture(scope='module')
def poisoned(tmp_path_factory):
  """Prepared data of which one train row's price overflows in the network."""
  path = tmp_path_factory.mktemp('poisoned')
  tiny.write_prepared(path)
  file = path / 'train/part-00000.parquet'
  table = pq.read_table(file)
  price = table['x_price'].to_numpy().copy()
  price[ROW] = 3e38
  at = table.column_names.index('x_price')
  table = table.set_column(at, 'x_price', [price])
  pq.write_table(table, file)
  return path


@pytest.mark.slow
def test_a_row_that_overflows_stops_the_pass(tmp_path, poisoned):
  with pytest.raises(
    FloatingPointError, match=r'^pretrain epoch 1: .* not finite'
  ):
    run.train(tiny.CONFIG, tmp_path, poisoned, ('pretrain',), QUIET)

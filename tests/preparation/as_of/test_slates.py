"""Numbers beside those of the rows that were shown with them."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation.as_of import slates
from tests import tiers
from tests.preparation import raw_files

HEADER = 'search,hotel,ts,price,stars,age,booked'
SCHEMA = {
  'session': 'search',
  'item': 'hotel',
  'time': {'column': 'ts', 'unit': 's'},
  'categorical': ['hotel'],
  'numeric': ['price', {'column': 'stars', 'transform': 'log1p'}, 'age'],
  'tasks': [{'name': 'book', 'column': 'booked'}],
}
TIMELESS = {key: value for key, value in SCHEMA.items() if key != 'time'}
PRICES = (90, 120, 120, '', 70)


def searches(count=40, step=0, apart=100, taken=(1, 3)):
  """Rows of searches: `step` and `apart` are seconds within and between."""
  return [
    (
      *(s, f'h{i}', 86_400 * 19_000 + apart * s + step * i, price, i, s % 9),
      int((i + s) % len(PRICES) in taken),
    )
    for s in range(count)
    for i, price in enumerate(PRICES)
  ]


def run(tmp_path, rows, schema=SCHEMA, **options):
  lines = [HEADER, *(','.join(map(str, row)) for row in rows)]
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  options = {'as_of': ('auto',), **options}
  return raw_files.run_table(tmp_path, lines, schema=path, **options)


def computed(rows):
  """Features of rows (session, time, number) by the SQL, in their order."""
  columns = {
    'row_id': np.arange(len(rows)),
    'session_id': [session for session, _, _ in rows],
    'timestamp': [time for _, time, _ in rows],
    'n_0': pa.array([number for _, _, number in rows], pa.float64()),
  }
  with duckdb.connect() as connection:
    connection.register('keyed', pa.table(columns))
    query = slates.features_sql('keyed', ['price'])
    found = connection.sql(f'SELECT * FROM ({query}) ORDER BY row_id')
    table = found.to_arrow_table().to_pydict()
  kept = [slates.ROWS, *(f'slate_price_{kind}' for kind in slates.KINDS)]
  return list(zip(*(table[name] for name in kept), strict=True))


def reference(rows):
  """The same by loops: rows, over the mean, the least and the largest."""
  found = []
  for i, (session, time, number) in enumerate(rows):
    slate = [j for j, row in enumerate(rows) if row[:2] == (session, time)]
    if number is None:
      found.append((len(slate), None, None, None))
      continue
    given = [rows[j][2] for j in slate if rows[j][2] is not None]
    others = [rows[j][2] for j in slate if j != i and rows[j][2] is not None]
    short = [float(np.float32(value)) for value in given]
    over_mean = float(np.float32(number)) - sum(short) / len(short)
    found.append(
      (
        len(slate),
        float(np.float32(over_mean)),
        number - min(others) if others else None,
        number - max(others) if others else None,
      )
    )
  return found


def test_by_hand():
  rows = [
    (1, 0, 90.0),
    (1, 0, 120.0),
    (1, 0, 120.0),
    (1, 0, None),
    (1, 0, 70.0),
    (1, 5, 7.0),  # the same session, later
    (2, 0, 1.0),  # another session
  ]
  assert computed(rows) == [
    (5, -10.0, 20.0, -30.0),
    (5, 20.0, 50.0, 0.0),
    (5, 20.0, 50.0, 0.0),
    (5, None, None, None),
    (5, -30.0, -20.0, -50.0),
    (1, 0.0, None, None),
    (1, 0.0, None, None),
  ]
  assert reference(rows) == computed(rows)


NUMBERS = st.sampled_from([None, 0.1, 0.2, 0.3, -1.5, 0.0, 7.0, 1e9])


@pytest.mark.parametrize('examples', tiers.examples(15, 50))
def test_as_loops_over_all_rows(examples):
  row = st.tuples(st.integers(0, 2), st.integers(0, 1), NUMBERS)
  tiers.check(as_loops_over_all_rows, examples, st.lists(row, max_size=9))


def as_loops_over_all_rows(rows):
  found, expected = computed(rows), reference(rows)
  assert [row[:1] + row[2:] for row in found] == [
    row[:1] + row[2:] for row in expected
  ]
  for (_, one, *_), (_, other, *_) in zip(found, expected, strict=True):
    # A sum of numbers of very different sizes depends on their order.
    assert (one is None) == (other is None)
    assert one is None or one == pytest.approx(other, rel=1e-6, abs=1e-6)


def test_without_a_time_a_session_of_which_one_row_is_taken_is_a_slate(
  tmp_path,
):
  rows = searches(taken=(2,))
  manifest = run(tmp_path, rows, TIMELESS, split_by='random')
  assert manifest.options['as_of'] == ['slate']
  several = run(
    tmp_path, searches(), TIMELESS, split_by='random', overwrite=True
  )
  assert several.report['as_of_left_out']['slate'] == 'rows come one by one'

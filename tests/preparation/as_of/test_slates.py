"""Numbers beside those of the rows that were shown with them."""

from __future__ import annotations

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import strategies as st

from rmtl_jax import types
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


def names(manifest):
  return [f.name for f in manifest.fields if 'as_of' in f.details]


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


def test_searches_compare_the_numbers_that_differ(tmp_path):
  manifest = run(tmp_path, searches())
  assert 'slate' in manifest.options['as_of']
  # All slates have five rows, and `age` is that of the search.
  compared = [n for n in names(manifest) if n.startswith('asof_slate')]
  assert compared == [
    f'asof_slate_{number}_{kind}'
    for number in ('price', 'stars')
    for kind in slates.KINDS
  ]
  by_name = {field.name: field for field in manifest.fields}
  details = by_name['asof_slate_price_over_least'].details
  assert (details['number'], details['compares']) == ('price', 'over_least')
  bins = raw_files.decoded(tmp_path, 'asof_slate_price_over_least', 'test')
  # 20, 50, 50, none, -20.
  assert bins[:5] == ['1', '2', '2', None, '0']


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


@pytest.mark.parametrize('apart', [86_400, 3600])
def test_rows_of_one_hour_may_have_come_one_by_one(tmp_path, apart):
  rounded = run(tmp_path, searches(apart=apart))
  assert rounded.report['as_of_left_out']['slate'] == 'rows come one by one'
  rows = searches(apart=apart, taken=(2,))
  assert 'slate' in run(tmp_path, rows, overwrite=True).options['as_of']


def test_rows_that_come_one_by_one_are_no_slate(tmp_path):
  manifest = run(tmp_path, searches(step=1))
  assert 'slate' not in manifest.options['as_of']
  assert manifest.report['as_of_left_out']['slate'] == 'rows come one by one'
  whole = run(tmp_path, searches(step=1), as_of=('all',), overwrite=True)
  assert 'slate' not in whole.options['as_of']
  assert "as_of: 'slate' is left out: it needs sessions that are shown" in (
    '\n'.join(whole.report['warnings'])
  )


def test_whoever_names_it_gets_all_numbers(tmp_path):
  manifest = run(tmp_path, searches(step=1), as_of=('slate',))
  assert len(names(manifest)) == 1 + 3 * len(slates.KINDS)


@pytest.mark.parametrize(
  ('schema', 'words'),
  [
    (
      {key: SCHEMA[key] for key in SCHEMA if key != 'numeric'},
      "as_of: 'slate' compares numbers, and the log has none",
    ),
    (
      {key: SCHEMA[key] for key in SCHEMA if key != 'session'},
      "as_of: 'slate' needs sessions, and the log has none",
    ),
  ],
)
def test_what_the_log_lacks(tmp_path, schema, words):
  with pytest.raises(types.InputError, match=words):
    run(tmp_path, searches(), schema, as_of=('slate',))


def test_which_numbers_are_compared_if_nobody_asks():
  differ = {f'n{i:02}': 100 - i for i in range(20)} | {'seldom': 9}
  found = slates.Found(100, 100, 99, (), differ)
  assert found.at_once
  assert found.numbers == tuple(f'n{i:02}' for i in range(16))
  few = slates.Found(100, 100, 99, (), {'a': 9, 'b': 10})
  assert few.numbers == ('b',)
  assert not slates.Found(100, 89, 99, (), {}).at_once
  assert not slates.Found(0, 0, 0, (), {}).at_once
  # Rounded times, where one row is taken in most slates, or not.
  assert slates.Found(100, 95, 49, (3, 86), {}).at_once
  assert not slates.Found(100, 95, 49, (3, 85), {}).at_once
  assert slates.Found(100, 95, 50, (3, 85), {}).at_once


def test_labels_play_no_part(tmp_path):
  rows = searches()
  run(tmp_path, rows)
  before = raw_files.read(tmp_path)
  last = [(*row[:-1], 1 - row[-1]) for row in rows]
  run(tmp_path, last, overwrite=True)
  after = raw_files.read(tmp_path)
  for one, other in zip(before, after, strict=True):
    for name in one:
      if name.startswith('f_asof_slate'):
        assert one[name] == other[name]


def test_what_says_that_a_number_is_missing_is_not_compared(tmp_path):
  schema = SCHEMA | {
    'numeric': [{'column': 'price', 'missing_indicator': True}]
  }
  manifest = run(tmp_path, searches(), schema)
  numbers = {
    field.details['number']
    for field in manifest.fields
    if 'number' in field.details
  }
  assert numbers == {'price'}

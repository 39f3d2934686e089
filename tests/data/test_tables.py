"""Tables of other libraries as Arrow."""

import datetime

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import tables

ROWS = [
  {'a': 1, 's': 'x', 'l': [1]},
  {'a': 2, 's': None, 'l': []},
  {'a': 3, 's': 'z', 'l': [2, 3]},
]
COLUMNS = {'a': [1, 2, 3], 's': ['x', None, 'z'], 'l': [[1], [], [2, 3]]}


class Stream:
  """Something that is known by its Arrow stream alone."""

  def __arrow_c_stream__(self, requested_schema=None):
    return pa.table(COLUMNS).__arrow_c_stream__(requested_schema)


@pytest.mark.parametrize(
  'given',
  [
    COLUMNS,
    pa.table(COLUMNS),
    pa.record_batch(COLUMNS),
    pa.table(COLUMNS).to_reader(),
    Stream(),
    ROWS,
    (ROWS[0], {'l': [], 'a': 2}, ROWS[2]),
  ],
  ids=['dict', 'table', 'batch', 'reader', 'stream', 'list', 'gaps'],
)
def test_all_forms_are_one_table(given):
  assert tables.to_arrow(given).to_pydict() == COLUMNS


def test_views_and_dictionaries_become_plain():
  given = pa.table(
    {
      'view': pa.array(['a', 'b'], pa.string_view()),
      'coded': pa.array(['a', 'b']).dictionary_encode(),
      'lists': pa.array([['a'], ['b']], pa.list_(pa.string_view())),
    }
  )
  found = tables.to_arrow(given)
  assert found.schema.types == [
    pa.large_string(),
    pa.string(),
    pa.large_list(pa.large_string()),
  ]
  assert found.to_pydict() == given.to_pydict()


@pytest.mark.parametrize(
  ('given', 'told'),
  [
    (3, 'expected a frame, an Arrow table, a list of dicts or a dict'),
    ('log.parquet', 'not usable'),
    ([{'a': 1}, 2], 'row 2 is a int, expected a dict'),
    ({'a': [1, 2, 'x']}, "row 3, column 'a': 'x', expected values of one type"),
    ([{'a': 1}, {'a': 2**64}], "row 2, column 'a': 18446744073709551616, exp"),
    ({'a': 'x1'}, "column 'a': 'x1', expected a list of values"),
    ([{7: 1}], 'column 7: its name is no text'),
  ],
)
def test_others_are_refused_in_one_line(given, told):
  with pytest.raises(types.InputError, match=told) as error:
    tables.to_arrow(given)
  assert '\n' not in str(error.value)


def test_lists_miss_what_frames_miss():
  nan = float('nan')
  given = [{'s': 'x', 'a': 1, 'b': True}, {'s': nan, 'a': nan, 'b': nan}]
  found = tables.to_arrow(given)
  assert found.schema.types == [pa.string(), pa.int64(), pa.bool_()]
  assert found.to_pylist()[1] == {'s': None, 'a': None, 'b': None}


def test_pandas_frames():
  pandas = pytest.importorskip('pandas')
  frame = pandas.DataFrame(
    {
      'a': [1, 2, 3],
      'c': pandas.Categorical(['u', 'v', 'u']),
      't': pandas.to_datetime(['2024-05-01'] * 3),
    }
  )
  # An index is no column, as selecting leaves one.
  found = tables.to_arrow(frame[frame['a'] != 2])
  assert found.column_names == ['a', 'c', 't']
  assert found['a'].to_pylist() == [1, 3]
  assert found['c'].to_pylist() == ['u', 'u']
  assert found['t'].to_pylist() == [datetime.datetime(2024, 5, 1)] * 2


def test_polars_frames():
  polars = pytest.importorskip('polars')
  frame = polars.DataFrame(COLUMNS).with_columns(
    polars.Series('c', ['u', 'v', 'u'], dtype=polars.Categorical)
  )
  found = tables.to_arrow(frame)
  assert found.to_pydict() == {**COLUMNS, 'c': ['u', 'v', 'u']}
  assert found.schema.field('s').type == pa.large_string()

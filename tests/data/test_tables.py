"""Tables of other libraries as Arrow."""

import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.data import tables


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

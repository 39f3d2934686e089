"""Raw rows against the prepared rows that they became, and by hand."""

import dataclasses

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.serving import encoder, notes, raw_rows
from tests.serving import table_run


def _chunk(table, path='log.parquet'):
  return raw_rows.Chunk(table, path, range(1, 1 + table.num_rows))


def _words(directory, name, values):
  (directory / 'vocabulary').mkdir(exist_ok=True)
  pq.write_table(
    pa.table({'value': [None, *values], 'count': [0] * (1 + len(values))}),
    directory / 'vocabulary' / f'{name}.parquet',
  )


@pytest.fixture
def by_hand(tmp_path):
  """Fields of a source that is not `table`: columns named as the fields."""
  fields = (
    manifest_lib.Field('item', 'categorical', size=3),
    manifest_lib.Field(
      'age', 'categorical', 4, details={'transform': 'bins', 'edges': [20, 40]}
    ),
    manifest_lib.Field('tags', 'multi_valued', size=4, width=2),
    manifest_lib.Field(
      'price',
      'numeric',
      details={'transform': 'log1p', 'mean': 1.0, 'deviation': 0.5},
    ),
  )
  _words(tmp_path, 'item', ['7', 'b'])
  _words(tmp_path, 'tags', ['x', 'y', 'z'])
  split = manifest_lib.Split(0, 0, (), {'click': 0})
  return tmp_path, manifest_lib.Manifest(
    source='mine',
    fields=fields,
    tasks=(manifest_lib.Task('click'),),
    splits=dict.fromkeys(manifest_lib.SPLITS, split),
  )


def _raw(**changes):
  return pa.table(
    {
      'item': ['7', 'b', 'new', None],
      'age': [19.0, 20.0, 40.0, None],
      'tags': ['z, x,y', '', 'w', None],
      'price': ['0', str(np.expm1(2.0)), ' ', None],
      'other': [1, 2, 3, 4],
      **changes,
    }
  )


def test_values_by_hand(by_hand):
  found = encoder.Encoder(*by_hand).encode(_chunk(_raw()))
  # Neither item `new` nor tag `w` was seen in training.
  np.testing.assert_array_equal(
    found.categorical, [[1, 1], [2, 2], [0, 3], [0, 0]]
  )
  np.testing.assert_array_equal(
    found.multi_valued, [[3, 1], [0, -1], [0, -1], [0, -1]]
  )
  np.testing.assert_allclose(
    found.numeric, [[-2.0], [2.0], [0.0], [0.0]], atol=1e-6
  )


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda t: t.drop_columns('tags'), "f.csv: no column 'tags'"),
    (
      lambda t: t.set_column(0, 'item', [[[1]] * 4]),
      "f.csv: column 'item' is of type list",
    ),
    (lambda t: t.append_column('item', t['item']), "'item' occurs twice"),
    (
      lambda t: t.set_column(3, 'price', [pa.array([{'a': 1}] * 4)]),
      "column 'price' is of type struct",
    ),
  ],
)
def test_columns_that_are_refused(by_hand, change, message):
  with pytest.raises(types.InputError) as error:
    encoder.Encoder(*by_hand).check(change(_raw()).schema, 'f.csv')
  assert message in str(error.value)


def test_a_vocabulary_must_be_the_runs(by_hand):
  directory, manifest = by_hand
  path = directory / 'vocabulary' / 'item.parquet'
  name = 'vocabulary/item.parquet'
  digests = {name: reading.sha256(path), 'past/users.parquet': 'of the data'}
  encoder.Encoder(directory, dataclasses.replace(manifest, digests=digests))
  digests[name] = '0'
  with pytest.raises(types.InputError, match=rf'{name}: damaged, or changed'):
    encoder.Encoder(directory, dataclasses.replace(manifest, digests=digests))
  _words(directory, 'item', ['7'])
  with pytest.raises(types.InputError, match=r'item\.parquet: has 2 rows'):
    encoder.Encoder(directory, manifest)
  (directory / 'vocabulary' / 'item.parquet').unlink()
  with pytest.raises(types.InputError, match=r'item\.parquet: not found'):
    encoder.Encoder(directory, manifest)


def test_fields_without_a_known_value_are_told(by_hand):
  model = encoder.Encoder(*by_hand)
  first, second, third = notes.Notes(), notes.Notes(), notes.Notes()
  model.encode(_chunk(_raw()), first)
  assert first.warnings() == []
  assert first.unseen() == {'item': 1 / 3, 'tags': 1 / 3}
  # Each call for itself, whatever was known before.
  model.encode(_chunk(_raw(item=['7.0', 'B', '', None])), second)
  assert second.warnings() == [
    "field 'item': not one of 2 values of column 'item' is in the run's"
    ' vocabulary'
  ]
  assert second.unseen()['item'] == 1.0
  model.encode(_chunk(_raw()), third)
  assert third.warnings() == []


def test_floats_find_whole_numbers(by_hand):
  """Of columns of numbers whatever the vocabulary; of text if it is numbers."""
  directory, manifest = by_hand
  exact, large = float(2**53 - 1), float(2**53)
  _words(directory, 'item', ['118', '0', '-7', str(2**53 - 1), str(2**53)])
  _words(directory, 'tags', ['1.0', '2', 'b'])
  fields = tuple(
    dataclasses.replace(f, size=6) if f.name == 'item' else f
    for f in manifest.fields
  )
  model = encoder.Encoder(
    directory, dataclasses.replace(manifest, fields=fields)
  )

  def ids(item):
    count = len(item)
    raw = pa.table(
      {
        'item': item,
        'age': pa.nulls(count),
        'tags': [[1.0, 2.0, None]] * count,
        'price': [0.0] * count,
      }
    )
    found = model.encode(_chunk(raw))
    # Of a vocabulary that has other words too text is found as it stands.
    np.testing.assert_array_equal(found.multi_valued, [[0, 2]] * count)
    return found.categorical[:, 0].tolist()

  floats = [118.0, -0.0, 0.0, -7.0, exact, large, 118.5, np.inf, np.nan, None]
  expected = [1, 2, 2, 3, 4, 0, 0, 0, 0, 0]
  assert ids(pa.array(floats, pa.float64())) == expected
  assert ids([None if f is None else str(f) for f in floats]) == expected
  # A float32 is no longer exact from 2^24 on.
  _words(directory, 'item', ['118', '0', '-7', str(2**24 - 1), str(2**24)])
  model = encoder.Encoder(
    directory, dataclasses.replace(manifest, fields=fields)
  )
  singles = [118.0, 2.0**24 - 1, 2.0**24]
  assert ids(pa.array(singles, pa.float32())) == [1, 4, 0]
  decimals = pa.array([118, 0, -7]).cast(pa.decimal128(24, 3))
  assert ids(decimals) == [1, 2, 3]
  assert ids(pa.array([118, 2**24], pa.int64())) == [1, 5]


def test_as_of_features_are_taken_where_they_are_given(tmp_path):
  data = table_run.prepare_table(tmp_path, as_of=('gap',))
  found = encoder.Encoder(data, manifest_file.read(data))
  raw = table_run.table()
  with pytest.raises(types.InputError, match="no column 'asof_gap'"):
    found.check(raw.schema, 'log.parquet')
  found.check(raw.schema, 'log.parquet', computed=('asof_gap',))
  given = raw.append_column('asof_gap', [[1000.0] * len(raw)])
  found.check(given.schema, 'log.parquet')
  assert found.encode(_chunk(given)).categorical.shape == (len(raw), 4)


def test_ignored_fields_are_not_read(by_hand):
  directory, manifest = by_hand
  (directory / 'vocabulary' / 'tags.parquet').unlink()
  whole = encoder.Encoder(directory, manifest, ('age', 'tags', 'price'))
  raw = _raw().select(['item', 'other'])
  whole.check(raw.schema, 'log.csv')
  found = whole.encode(_chunk(raw))
  np.testing.assert_array_equal(
    found.categorical, [[1, 0], [2, 0], [0, 0], [0, 0]]
  )
  np.testing.assert_array_equal(found.multi_valued, np.zeros((4, 2)))
  np.testing.assert_array_equal(found.numeric, np.zeros((4, 1)))
  with pytest.raises(types.InputError, match="'item'"):
    whole.check(raw.select(['other']).schema, 'log.csv')

import dataclasses
import itertools
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from tests import tiny

FILE = 'train/part-00000.parquet'


@pytest.fixture(scope='module')
def prepared(tmp_path_factory):
  """(DATA, its manifest); read only."""
  path = tmp_path_factory.mktemp('prepared')
  return path, tiny.write_prepared(path, sessions=12)


def copy_of(prepared, tmp_path, table=None):
  """(DATA, manifest) to break: train has the table where one is given."""
  source, manifest = prepared
  (tmp_path / 'train').mkdir()
  table = pq.read_table(source / FILE) if table is None else table
  pq.write_table(table, tmp_path / FILE)
  manifest_file.write(manifest, tmp_path)
  return tmp_path, manifest


def with_column(table, name, values):
  """The table with a column of other values."""
  return table.set_column(table.column_names.index(name), name, values)


def with_value(table, name, row, value, kind=None):
  """The table with one other value; rows count from 0."""
  values = table[name].to_pylist()
  values[row] = value
  return with_column(
    table, name, pa.array(values, kind or table.schema.field(name).type)
  )


def check_fails(data_dir, manifest, match):
  with pytest.raises(types.InputError, match=match) as error:
    columns_lib.read_split(data_dir, manifest, 'train')
  assert '\n' not in str(error.value)
  return str(error.value)


@pytest.mark.parametrize('split', manifest_lib.SPLITS)
def test_columns_are_those_of_the_files(prepared, split):
  path, manifest = prepared
  read = columns_lib.read_split(path, manifest, split)
  table = pq.read_table(path / manifest.splits[split].files[0])
  assert read.rows == manifest.splits[split].rows == len(table)
  for i, name in enumerate(('f_user', 'f_item')):
    np.testing.assert_array_equal(read.categorical[:, i], table[name])
  np.testing.assert_array_equal(read.numeric[:, 0], table['x_price'])
  for k, task in enumerate(tiny.TASKS):
    np.testing.assert_array_equal(read.labels[:, k], table[f'y_{task}'])
    assert read.oracle is not None
    np.testing.assert_array_equal(read.oracle[:, k], table[f'p_{task}'])
  tags = table['m_tags'].to_pylist()
  expected = [[*t, *[-1] * (3 - len(t))] for t in tags]
  np.testing.assert_array_equal(read.multi_valued, expected)
  np.testing.assert_array_equal(read.session, table['session_id'])
  np.testing.assert_array_equal(read.user, table['user_id'])
  np.testing.assert_array_equal(read.row_id, table['row_id'])


@settings(deadline=None, max_examples=20)
@given(
  st.lists(st.integers(0, 30), min_size=1, max_size=4),
  st.sampled_from([1, 8, 10**6]),
)
def test_files_are_joined_in_order(tmp_path_factory, prepared, cuts, rows):
  """In however many files and blocks, cut within sessions or not."""
  source, manifest = prepared
  table = pq.read_table(source / FILE)
  tmp_path = tmp_path_factory.mktemp('cut')
  (tmp_path / 'train').mkdir()
  edges = [0, *sorted(min(cut, len(table)) for cut in cuts), len(table)]
  files = []
  for i, (begin, end) in enumerate(itertools.pairwise(edges)):
    files.append(f'train/part-{i:05d}.parquet')
    pq.write_table(
      table.slice(begin, end - begin), tmp_path / files[-1], row_group_size=4
    )
  split = dataclasses.replace(manifest.splits['train'], files=tuple(files))
  cut = dataclasses.replace(manifest, splits={'train': split})
  manifest_file.write(cut, tmp_path)
  whole = columns_lib.read_split(source, manifest, 'train')
  with mock.patch.object(columns_lib, 'BLOCK_ROWS', rows):
    joined = columns_lib.read_split(tmp_path, cut, 'train')
  for field in dataclasses.fields(whole):
    np.testing.assert_array_equal(
      getattr(joined, field.name), getattr(whole, field.name)
    )


def test_data_without_oracle_users_or_some_kinds(prepared, tmp_path):
  source, manifest = prepared
  table = pq.read_table(source / FILE)
  names = ['session_id', 'timestamp', 'row_id', 'x_price']
  names += ['y_click', 'y_conversion']
  path, _ = copy_of(prepared, tmp_path, table.select(names))
  small = dataclasses.replace(
    manifest,
    fields=manifest.of_kind('numeric'),
    user_field=None,
    item_field=None,
    has_oracle=False,
  )
  read = columns_lib.read_split(path, small, 'train')
  assert read.user is None and read.oracle is None
  assert read.categorical.shape == read.multi_valued.shape == (read.rows, 0)
  assert read.numeric.shape == (read.rows, 1)


LIST = pa.list_(pa.int32())


@pytest.mark.parametrize(
  'name, value, kind, expected',
  [
    ('session_id', 2**63, pa.uint64(), 'is 9223372036854775808, expected a s'),
    ('f_user', 30, None, 'is 30, expected a row of the vocabulary, 0 to 29'),
    ('f_item', 2**40, pa.int64(), 'is 1099511627776, expected a row of the'),
    ('m_tags', [], LIST, 'has 0 values, expected 1 to 3'),
    ('m_tags', [1, None], LIST, 'contains a null, expected integers'),
    ('x_price', float('nan'), None, 'is nan, expected a finite number'),
    ('y_click', 0.5, None, 'is 0.5, expected 0 or 1'),
    ('p_click', 1.5, None, 'is 1.5, expected a probability'),
  ],
)
def test_a_wrong_value_is_named(
  prepared, tmp_path, name, value, kind, expected
):
  table = pq.read_table(prepared[0] / FILE)
  broken = with_value(table, name, 4, value, kind)
  path, manifest = copy_of(prepared, tmp_path, broken)
  message = check_fails(path, manifest, expected)
  assert message.startswith(f"{path / FILE}: row 5, column '{name}': ")


def test_sessions_out_of_order_over_files_are_named(prepared, tmp_path):
  source, manifest = prepared
  table = pq.read_table(source / FILE)
  (tmp_path / 'train').mkdir()
  files = ('train/a.parquet', 'train/b.parquet', 'train/c.parquet')
  cut = int(np.argmax(np.diff(table['session_id']) > 0)) + 1
  parts = (table.slice(cut), table.slice(0, 0), table.slice(0, cut))
  for file, part in zip(files, parts, strict=True):
    pq.write_table(part, tmp_path / file)
  split = dataclasses.replace(manifest.splits['train'], files=files)
  swapped = dataclasses.replace(manifest, splits={'train': split})
  manifest_file.write(swapped, tmp_path)
  message = check_fails(tmp_path, swapped, 'expected sessions in order')
  assert message.startswith(f'{tmp_path / files[2]}: row 1, ')

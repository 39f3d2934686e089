"""Descriptions of rows that are counted by hand."""

import dataclasses
import math

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import describe, drift, rows
from tests.preparation.description import data


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  # A name that is a pattern and a folder `name=value`, which DuckDB knows.
  return data.small(tmp_path_factory.mktemp('d') / 'a=b [1]')


@pytest.fixture(scope='module')
def found(path):
  return describe.describe(path)


def test_values_in_buckets_are_unseen(tmp_path):
  path = data.small(tmp_path / 'data')
  manifest = manifest_file.read(path)
  colour = dataclasses.replace(manifest.fields[0], details={'buckets': 2})
  fields = (colour, *manifest.fields[1:])
  manifest_file.write(dataclasses.replace(manifest, fields=fields), path)
  found, *_ = describe.describe(path)['fields']
  counts = pq.read_table(path / 'train', partitioning=None)['f_colour']
  ids = counts.to_numpy()
  assert found['unseen']['train'] == np.mean(ids != 1)
  assert found['seen']['train'] == 1


def with_column(path, name, values):
  """Replaces a column of the test rows."""
  parts = (values[:2], values[2:])
  for i, part in enumerate(parts):
    file = path / 'test' / f'part-{i}.parquet'
    table = pq.read_table(file, partitioning=None)
    at = table.column_names.index(name)
    column = pa.array(part, table.schema.field(name).type)
    pq.write_table(table.set_column(at, name, column), file)


def test_values_without_train_rows_are_unseen(tmp_path, found):
  """As in extended data: white has an id, and two of five test rows."""
  path = data.small(tmp_path / 'data')
  with_column(path, 'f_colour', [0, 4, 4, 1, 2])
  manifest = manifest_file.read(path)
  colour = dataclasses.replace(manifest.fields[0], size=5)
  fields = (colour, *manifest.fields[1:])
  manifest_file.write(dataclasses.replace(manifest, fields=fields), path)
  white = describe.describe(path)['fields'][0]
  # As if white were row 0.
  before = found['fields'][0]
  assert white['unseen'] == before['unseen']
  assert (white['psi'], white['chance']) == (before['psi'], before['chance'])
  assert white['seen'] == {'train': 3, 'validation': 3, 'test': 3}


@pytest.mark.parametrize(('owner', 'unseen'), [(None, 0.8), ('colour', 0.0)])
def test_the_field_that_lends_a_vocabulary_trains_it(tmp_path, owner, unseen):
  """Blue is in no list of train, and the colour of two train rows."""
  path = data.small(tmp_path / 'data')
  with_column(path, 'm_tags', [[3], [3], [3], [3], [2]])
  manifest = manifest_file.read(path)
  tags = dataclasses.replace(manifest.fields[1], size=4, vocabulary_owner=owner)
  fields = (manifest.fields[0], tags, manifest.fields[2])
  manifest_file.write(dataclasses.replace(manifest, fields=fields), path)
  found = describe.describe(path)['fields'][1]
  assert found['unseen']['test'] == pytest.approx(unseen)


def test_unseen_values(found):
  colour, tags, price = found['fields']
  assert colour['unseen'] == {'train': 0, 'validation': 0, 'test': 0.6}
  assert colour['seen'] == {'train': 3, 'validation': 3, 'test': 2}
  # Of 14 values in lists one is row 0.
  assert tags['unseen']['train'] == pytest.approx(1 / 14)
  assert price['unseen'] == price['seen'] == {}
  assert price['mean'] == {'train': 5.0, 'validation': 4.5, 'test': 9.5}


def test_drift_of_a_category(found):
  colour = found['fields'][0]
  # Rows of test by row 0, red, green, blue and the (empty) rest, with 0.5 more
  # each: of train 0.5, 6.5, 2.5, 2.5, 0.5 of 12.5; of test 3.5, 1.5, 1.5, 0.5,
  # 0.5 of 7.5.
  p = np.array([0.5, 6.5, 2.5, 2.5, 0.5]) / 12.5
  q = np.array([3.5, 1.5, 1.5, 0.5, 0.5]) / 7.5
  expected = sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))
  assert colour['psi']['test'] == pytest.approx(expected)
  assert colour['chance']['test'] == pytest.approx(4 * (1 / 10 + 1 / 5))
  # In test 60 % are unseen; red falls by 40 points.
  assert colour['moved'] == ['(unseen, rare or missing)', 0.0, 0.6]


def test_drift_of_a_number_is_by_deciles_of_train(found):
  # One row of train in every decile; all of test in the last.
  counts = np.ones(10), np.array([0] * 9 + [5])
  assert found['fields'][2]['psi']['test'] == pytest.approx(
    drift.psi(*counts)[0]
  )


def test_a_value_that_moves_has_its_name(tmp_path):
  path = data.small(tmp_path / 'data')
  file = path / 'test' / 'part-1.parquet'
  part = pq.read_table(file)
  colours = part.column_names.index('f_colour')
  blue = part.set_column(colours, 'f_colour', [[3, 3, 3]])
  pq.write_table(blue.cast(part.schema), file)
  # Red is 2 of 5 less than in train; blue is 3 of 5, 2 of 5 more.
  first = describe.describe(path)['fields'][0]['moved']
  assert first in (['red', 0.6, 0.0], ['blue', 0.2, 0.6])


def test_quantiles_of_another_engines_numbers_are_counted(tmp_path):
  path = data.small(tmp_path / 'data')
  manifest = (path / 'manifest.json').read_text()
  without = manifest.replace('"quantiles"', '"other"')
  assert without != manifest
  (path / 'manifest.json').write_text(without)
  price = describe.describe(path)['fields'][2]
  assert price['psi']['test'] > 1 > price['psi']['validation']


def test_rates_over_time_leave_out_what_is_not_observed(found):
  over = found['over_time']
  assert over['span_ms'] == data.HOUR
  train = over['points']['train']
  assert [point['rows'] for point in train] == [1] * 10
  assert [point['mean']['click'] for point in train] == [
    *(1, 0, 0, 0, 1, 0, 1, 1, 0, 0)
  ]
  assert train[-1]['mean']['watch'] is None
  assert train[-1]['observed'] == {'click': 1, 'watch': 0}
  assert train[0]['ms'] == 480_000 * data.HOUR


@pytest.mark.parametrize(
  ('length', 'span'), [(0, None), (59, 1), (10**6, 60_000), (10**9, 6 * 3.6e6)]
)
def test_spans_are_those_that_people_count_in(tmp_path, length, span):
  path = data.small(tmp_path / 'data')
  for file in path.glob('*/part-*.parquet'):
    table = pq.read_table(file)
    at = table.column_names.index('timestamp')
    times = [[0] * (table.num_rows - 1) + [length]]
    pq.write_table(table.set_column(at, 'timestamp', times), file)
  over = describe.describe(path)['over_time']
  assert over['span_ms'] == span
  assert sum(point['rows'] for point in over['points']['train']) == 10


def test_labels_together(found):
  # Watch is observed in nine rows, clicks in ten.
  clicks = np.array([1, 0, 0, 0, 1, 0, 1, 1, 0])
  watch = np.array([4, 0, 0, 0, 8, 0, 6, 2, 1])
  both = np.corrcoef(clicks, watch)[0, 1]
  assert found['together']['correlation'][0][1] == pytest.approx(both)
  # Of the four clicks: 4, 8, 6 and 2. Of five rows that are watched four are
  # clicks.
  assert found['together']['given'] == [[1.0, 5.0], [0.8, 4.2]]


def test_lengths_of_sessions(found):
  # 1, 2, 3 and 4 rows.
  train = found['session_lengths']['train']
  assert train == {
    'mean': 2.5,
    'median': 2,
    'p90': 4,
    'p99': 4,
    'longest': 4,
    'longer': [4, 3, 2, 1],
  }
  assert found['session_lengths']['test']['longest'] == 1


def test_nine_of_ten_sessions_are_no_longer_than_their_p90():
  steps = [0] * 10 + [1, 2, 3]
  with sql.connect() as connection:
    split = f'(SELECT unnest({steps}) AS step)'
    found = rows.session_lengths(connection, {'train': split})['train']
  assert (found['p90'], found['p99'], found['longest']) == (1, 4, 4)


def test_files_that_cannot_be_read_are_named(tmp_path):
  path = data.small(tmp_path / 'data')
  (path / 'test' / 'part-1.parquet').write_bytes(b'PAR1 no more')
  with pytest.raises(types.InputError, match='not readable'):
    describe.describe(path)
  with pytest.raises(types.InputError, match='manifest'):
    describe.describe(tmp_path)


def test_values_outside_of_a_vocabulary_are_one_line(tmp_path):
  path = data.small(tmp_path / 'data')
  file = path / 'train' / 'part-0.parquet'
  table = pq.read_table(file)
  at = table.column_names.index('f_colour')
  pq.write_table(
    table.set_column(at, 'f_colour', [[7, 1]]).cast(table.schema), file
  )
  with pytest.raises(types.InputError, match="'f_colour' has values outside"):
    describe.describe(path)


def test_labels_of_a_task_that_is_never_observed_are_undefined(tmp_path):
  path = data.small(tmp_path / 'data')
  for file in path.glob('train/*.parquet'):
    table = pq.read_table(file)
    at = table.column_names.index('w_watch')
    pq.write_table(
      table.set_column(at, 'w_watch', [[0.0] * table.num_rows]), file
    )
  together = describe.describe(path)['together']
  assert together['correlation'][0] == [pytest.approx(1.0), None]
  assert together['given'][0] == [1.0, None]


def test_every_field_is_told_of(found, path):
  names = [field.name for field in manifest_file.read(path).fields]
  assert [field['name'] for field in found['fields']] == names
  assert tuple(sorted(rows.SPANS)) == rows.SPANS

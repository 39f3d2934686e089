"""Samples of files of every kind, and files that are none."""

import itertools

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.preparation.guess import sample as sample_lib
from tests.preparation.guess import logs


def _numbers(sample, name='n'):
  rows = sample.fetch(
    f'CAST({sample.column(name)} AS BIGINT)', f'ORDER BY {sample_lib.ORDER}'
  )
  return [row[0] for row in rows]


@pytest.mark.parametrize('delimiter', [',', '\t', ';', '|'])
def test_the_delimiter_is_found(tmp_path, delimiter):
  columns = {'n': range(5), 'b c': list('abcde')}
  path = logs.write(tmp_path / 'log.csv', columns, delimiter)
  sample = sample_lib.read(path, 100)
  assert sample.names == ('n', 'b c')
  assert sample.delimiter == ('' if delimiter == ',' else delimiter)
  assert _numbers(sample) == [0, 1, 2, 3, 4]


@pytest.mark.parametrize('ending', ['', '.gz', '.zst'])
def test_blocks_come_from_all_over_a_file(tmp_path, ending):
  text = 'n,x\n' + ''.join(f'{i},{i % 7}\n' for i in range(200_000))
  path = tmp_path / f'log.csv{ending}'
  kind = {'.gz': 'gzip', '.zst': 'zstd'}.get(ending)
  with pa.output_stream(str(path), compression=kind) as file:
    file.write(text.encode())
  sample = sample_lib.read(path, 1600)
  numbers = _numbers(sample)
  assert not sample.is_whole
  assert 1200 < sample.rows < 2000
  assert sample.log_rows == pytest.approx(200_000, rel=0.3)
  assert len(numbers) == len(set(numbers)) and numbers == sorted(numbers)
  assert min(numbers) < 100
  # What is compressed is only about as long as was estimated.
  assert max(numbers) > (100_000 if ending else 199_000)
  # Rows of a block follow each other.
  steps = [b - a for a, b in itertools.pairwise(numbers)]
  assert sum(step != 1 for step in steps) <= 16


def test_rows_of_several_files(tmp_path):
  for i in range(3):
    logs.write(tmp_path / f'{i}.csv', {'n': range(10 * i, 10 * i + 10)})
  sample = sample_lib.read(tmp_path, 1000)
  assert _numbers(sample) == [*range(30)]
  assert sample.is_whole


def test_a_label_that_is_a_truth_here_and_a_number_there(tmp_path):
  """As pandas writes a day with a missing value and one without."""
  for name, values in (
    ('a', [True, False, None]),
    ('b', [1, 0]),
    ('c', [0.0, None, 1.0]),
  ):
    pq.write_table(pa.table({'n': values}), tmp_path / f'{name}.parquet')
  sample = sample_lib.read(tmp_path, 1000)
  assert _numbers(sample) == [1, 0, None, 1, 0, 0, None, 1]
  pq.write_table(pa.table({'n': ['yes']}), tmp_path / 'd.parquet')
  with pytest.raises(types.InputError, match=r'Field n has incompatible types'):
    sample_lib.read(tmp_path, 1000)


def test_row_groups_come_from_all_over_a_parquet_file(tmp_path):
  path = tmp_path / 'log.parquet'
  table = pa.table({'n': range(10_000), 'tags': [['a', 'b']] * 10_000})
  pq.write_table(table, path, row_group_size=500)
  sample = sample_lib.read(path, 160)
  numbers = _numbers(sample)
  assert (sample.rows, sample.log_rows) == (160, 10_000)
  assert numbers[:10] == [*range(10)] and max(numbers) > 9_000
  assert sample.kinds == ('number', 'list')


def test_parts_of_a_record_at_the_edge_of_a_block_are_dropped(tmp_path):
  text = 'n,x\n' + ''.join(f'{i},"a, ""b"""\n' for i in range(50_000))
  (tmp_path / 'log.csv').write_text(text)
  sample = sample_lib.read(tmp_path / 'log.csv', 800)
  values = {row[0] for row in sample.fetch(sample.column('x'))}
  assert values == {'a, "b"'}


@pytest.mark.parametrize(
  ('text', 'parts'),
  [
    ('', ['is empty']),
    ('a,b\n', ['no rows below the header']),
    ('38, x, 1.5\n40, y, 2.5\n41, x, 3.5\n', ['row 1 is no header', "'38'"]),
    ('de,x,f\nde,y,g\nfr,x,h\n', ['row 1 is no header', "'de'"]),
    ('1,2\n3,4\n', ['row 1 is no header', '2 column names', 'other-forms']),
    ('5,NULL,,?,2\n3,1,2,1,4\n', ['row 1 is no header', "'5'"]),
    (
      '1,U7,11/9/2019 7:05 AM,N1-0\n2,U9,11/10/2019 1:00 PM,N2-1\n',
      ['row 1 is no header', "'11/9/2019 7:05 AM'"],
    ),
    ('a,A\n1,2\n', ["'A' stands twice"]),
  ],
)
def test_files_that_are_no_log_are_one_line(tmp_path, text, parts):
  (tmp_path / 'log.csv').write_text(text)
  with pytest.raises(types.InputError) as error:
    sample_lib.read(tmp_path / 'log.csv', 100)
  assert '\n' not in str(error.value)
  for part in ['log.csv', *parts]:
    assert part in str(error.value)


@pytest.mark.parametrize(
  'header',
  ['0,1,2', 'click,101,121', 'user,item,click', 'click,301,109_14'],
)
def test_names_may_be_numbers(tmp_path, header):
  rows = ''.join(f'1,{i},{i % 3}\n' for i in range(300))
  (tmp_path / 'log.csv').write_text(f'{header}\n{rows}')
  sample = sample_lib.read(tmp_path / 'log.csv', 1000)
  assert sample.names == tuple(header.split(','))


def test_files_with_different_columns_are_refused(tmp_path):
  logs.write(tmp_path / 'a.csv', {'n': range(5)})
  logs.write(tmp_path / 'b.csv', {'m': range(5)})
  with pytest.raises(types.InputError, match='has other columns'):
    sample_lib.read(tmp_path, 100)


@pytest.mark.parametrize('ending', ['csv', 'parquet'])
def test_files_may_have_their_columns_in_other_orders(tmp_path, ending):
  files = {
    '1': {'n': range(5), 'x': [7] * 5},
    '2': {'x': [8] * 5, 'late': [1] * 5, 'n': range(5, 10)},
  }
  for name, columns in files.items():
    path = tmp_path / f'{name}.{ending}'
    if ending == 'csv':
      logs.write(path, columns)
    else:
      pq.write_table(pa.table({k: list(v) for k, v in columns.items()}), path)
  sample = sample_lib.read(tmp_path, 100)
  assert sample.names == ('n', 'x')
  assert sample.partial == ('late',)
  n, x = (sample.column(name) for name in sample.names)
  found = [(int(a), int(b)) for a, b in sample.fetch(f'{n}, {x}')]
  assert found == [(i, 7 if i < 5 else 8) for i in range(10)]


def test_a_later_file_without_a_header_is_refused(tmp_path):
  (tmp_path / 'a.csv').write_text('n,x\n1,0.5\n2,0.25\n')
  (tmp_path / 'b.csv').write_text('1,0.5\n2,0.25\n')
  with pytest.raises(types.InputError, match=r'b\.csv: has other columns'):
    sample_lib.read(tmp_path, 100)


def test_other_names_of_files_are_refused(tmp_path):
  (tmp_path / 'log.txt').write_text('a,b\n1,2\n')
  with pytest.raises(types.InputError, match='expected a file that ends'):
    sample_lib.read(tmp_path / 'log.txt', 100)


def test_folders_name_columns(tmp_path):
  for day in ('2024-05-01', '2024-05-02'):
    folder = tmp_path / f'day={day}'
    folder.mkdir()
    logs.write(folder / 'a.csv', {'n': range(3)})
  sample = sample_lib.read(tmp_path, 1000)
  assert sample.names == ('n', 'day')
  days = sample.fetch(f'DISTINCT {sample.column("day")}')
  assert {day for (day,) in days} == {'2024-05-01', '2024-05-02'}


def test_rows_with_too_few_values_are_counted(tmp_path):
  (tmp_path / 'log.csv').write_text('n,x\n1,2\n\n3\n4,5\n6,')
  sample = sample_lib.read(tmp_path / 'log.csv', 100)
  assert _numbers(sample) == [1, 4, 6]
  assert sample.faulty == 1

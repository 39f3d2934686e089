"""`rmtl predict` as a person runs it: files, streams, refusals."""

import csv
import gzip
import io
import subprocess
import sys
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from rmtl_jax import cli
from rmtl_jax.serving import predict_file, scorer
from tests.serving import past_run, table_run


class _Binary(NamedTuple):
  """A standard stream of bytes."""

  buffer: io.BytesIO

  def isatty(self):
    return False

  def flush(self):
    pass


def _predict(run_dir, source, target, *more):
  return cli.main(
    [
      'rmtl',
      'predict',
      f'--workdir={run_dir}',
      f'--input={source}',
      f'--output={target}',
      '--nocompilation_cache',
      *more,
    ]
  )


def _write_csv(path, table):
  opener = gzip.open if path.suffix == '.gz' else open
  with opener(path, 'wt', newline='') as file:
    writer = csv.writer(file)
    writer.writerow(table.column_names)
    writer.writerows(zip(*table.to_pydict().values(), strict=True))


def _refused(capsys, directory, *parts):
  """One line, and nothing in the directory that was not there before."""
  error = capsys.readouterr().err
  assert error.startswith('rmtl: ') and error.count('\n') == 1, error
  for part in parts:
    assert part in error
  assert not [p for p in directory.iterdir() if p.name.startswith('.')]
  assert not [p for p in directory.iterdir() if p.name.startswith('out')]


@pytest.fixture(scope='module')
def expected(run_dir):
  return rmtl_jax.load(run_dir).predict(table_run.table())


def _check(found, expected):
  np.testing.assert_allclose(
    found['p_click'].to_numpy(), expected['click'], atol=1e-6
  )
  np.testing.assert_allclose(
    found['p_conversion'].to_numpy(), expected['conversion'], atol=1e-6
  )


def test_parquet_keeps_its_columns_in_several_chunks(
  tmp_path, capsys, monkeypatch, run_dir, expected
):
  monkeypatch.setattr(scorer, 'CHUNK_ROWS', 96)
  raw = table_run.table().append_column('rest', [[[n] for n in range(400)]])
  pq.write_table(raw, tmp_path / 'in.parquet', row_group_size=70)
  (tmp_path / 'out.parquet').write_text('what stood here before')
  assert (
    _predict(run_dir, tmp_path / 'in.parquet', tmp_path / 'out.parquet') == 0
  )
  found = pq.read_table(tmp_path / 'out.parquet')
  assert found.drop_columns(['p_click', 'p_conversion']).equals(raw)
  assert found.schema.field('p_click').type == pa.float32()
  _check(found, expected)
  captured = capsys.readouterr()
  assert '400 rows' in captured.err
  assert 'warning' not in captured.err and 'out.parquet' in captured.out
  assert sorted(p.name for p in tmp_path.iterdir()) == [
    'in.parquet',
    'out.parquet',
  ]


@pytest.mark.parametrize('name', ['in.csv', 'in.csv.gz'])
def test_csv_keeps_its_text(tmp_path, run_dir, expected, name):
  raw = table_run.table()
  raw = raw.append_column('note', [['a "b", c\nd', '007', ' ', ''] * 100])
  _write_csv(tmp_path / name, raw)
  assert _predict(run_dir, tmp_path / name, tmp_path / 'out.csv') == 0
  with (tmp_path / 'out.csv').open(newline='') as file:
    header, *records = csv.reader(file)
  assert header == [*raw.column_names, 'p_click', 'p_conversion']
  assert [record[-3] for record in records[:4]] == raw['note'][:4].to_pylist()
  assert [record[3] for record in records] == [
    str(n) for n in raw['item'].to_pylist()
  ]
  columns = np.array([record[-2:] for record in records], float).T
  _check(
    {'p_click': pa.array(columns[0]), 'p_conversion': pa.array(columns[1])},
    expected,
  )


@pytest.fixture(scope='module')
def semicolons(tmp_path_factory):
  """A model, not trained, of a log with `;`."""
  schema = table_run.SCHEMA | {'delimiter': ';'}
  found = past_run.prepare_run(
    tmp_path_factory.mktemp('semicolons'),
    table_run.CONFIG,
    table_run.table(),
    schema,
    as_of=(),
  )
  return past_run.untrained(found)


def test_csv_has_the_delimiter_of_the_log(tmp_path, semicolons):
  raw = table_run.table().slice(0, 20)
  records = (raw.column_names, *zip(*raw.to_pydict().values(), strict=True))
  lines = [
    ';'.join('' if value is None else str(value) for value in record)
    for record in records
  ]
  text = ''.join(f'{line}\r\n' for line in lines)
  (tmp_path / 'in.csv').write_bytes(b'\xef\xbb\xbf' + text.encode())
  predict_file.predict(
    semicolons, str(tmp_path / 'in.csv'), str(tmp_path / 'out.csv')
  )
  written = (tmp_path / 'out.csv').read_bytes().decode()
  header, *rest = (r.rsplit(';', 2) for r in written[:-1].split('\n'))
  assert header[1:] == ['p_click', 'p_conversion']
  assert [line[0] for line in (header, *rest)] == lines
  found = np.array([r[1:] for r in rest], 'f4')
  np.testing.assert_array_equal(found, semicolons.predict_proba(raw))


def test_arrow_streams(tmp_path, capsys, monkeypatch, run_dir, expected):
  raw = table_run.table()
  stdin, stdout = io.BytesIO(), io.BytesIO()
  with pa.ipc.new_stream(stdin, raw.schema) as stream:
    stream.write_table(raw, max_chunksize=7)
  stdin.seek(0)
  monkeypatch.setattr(sys, 'stdin', _Binary(stdin))
  monkeypatch.setattr(sys, 'stdout', _Binary(stdout))
  assert _predict(run_dir, '-', '-') == 0
  # The stream alone is on standard output.
  found = pa.ipc.open_stream(stdout.getvalue()).read_all()
  assert found.select(raw.column_names).equals(raw)
  _check(found, expected)
  assert '400 rows' in capsys.readouterr().err
  stdin.seek(0)
  stdin.truncate(len(stdin.getvalue()) - 50)
  assert _predict(run_dir, '-', tmp_path / 'out.parquet') == 2
  _refused(capsys, tmp_path, 'standard input: not readable as an Arrow IPC')


def _broken(change):
  columns = table_run.table().to_pydict()
  change(columns)
  return pa.table(columns)


BAD = {
  'no column': (lambda c: c.pop('price'), ("no column 'price'",)),
  'a prediction is there': (
    lambda c: c.update(P_click=[0.5] * 400),
    ("column 'P_click' is there already",),
  ),
  'text': (
    # Row 300 of the data, below the header and a note of two lines.
    lambda c: c.update(price=['1'] * 299 + ['dear'] + ['x'] * 100),
    ("row 302, column 'price': 'dear', expected a number",),
  ),
  'below -1': (
    lambda c: c['price'].__setitem__(0, -2.5),
    ("row 2, column 'price': '-2.5', expected a number above -1",),
  ),
}


@pytest.mark.parametrize('name', BAD)
def test_bad_rows_get_one_line_and_leave_nothing(
  tmp_path, capsys, monkeypatch, run_dir, name
):
  monkeypatch.setattr(scorer, 'CHUNK_ROWS', 96)
  change, parts = BAD[name]
  raw = _broken(change)
  raw = raw.append_column('note', [['', 'two\nlines'] + [''] * 398])
  _write_csv(tmp_path / 'in.csv', raw)
  assert _predict(run_dir, tmp_path / 'in.csv', tmp_path / 'out.csv') == 2
  _refused(capsys, tmp_path, 'in.csv', *parts)


@pytest.mark.parametrize(
  ('content', 'part'),
  [
    (b'', 'is empty'),
    (b'{header}\n1,2\n', 'row 2: 2 values, expected 10'),
    (b'{header}\n{row}\n\n{row},7\n', 'row 4: 11 values, expected 10'),
    (b'{header}\n{row}\n\xff{row}\n', "row 3, column 'Visit': not valid UTF-8"),
    (b'{header}\n"{row}\n', 'row 2: not readable'),
    (b'{header}\n' + b'x' * 10**6 + b'{row}\n{row},7\n', 'row 3: 11 values'),
  ],
)
def test_bad_csv(tmp_path, capsys, run_dir, content, part):
  raw = table_run.table()
  header = ','.join(raw.column_names).encode()
  content = content.replace(b'{header}', header)
  content = content.replace(b'{row}', b'0,0,c1,3,1|2,0.5,30,0.1,0,0')
  (tmp_path / 'in.csv').write_bytes(content)
  assert _predict(run_dir, tmp_path / 'in.csv', tmp_path / 'out.csv') == 2
  _refused(capsys, tmp_path, 'in.csv', part)


def _damaged_stream(column, buffer, at, number):
  """An Arrow stream in which a number of a column's buffer is another one."""
  raw = table_run.table().select(table_run.FEATURES)
  raw = raw.set_column(
    1, 'item', raw['item'].cast(pa.string()).dictionary_encode()
  )
  raw = raw.append_column('lists', pa.array([[n] for n in range(400)]))
  sink = pa.BufferOutputStream()
  with pa.ipc.new_stream(sink, raw.schema) as writer:
    writer.write_table(raw)
  data = bytearray(sink.getvalue())
  source = pa.py_buffer(data)
  batch = pa.ipc.open_stream(source).read_next_batch()
  found = batch.column(column).buffers()[buffer]
  begin = found.address - source.address + 4 * at
  data[begin : begin + 4] = number.to_bytes(4, 'little', signed=True)
  return bytes(data)


@pytest.mark.slow
@pytest.mark.parametrize(
  ('column', 'buffer', 'at', 'number'),
  [
    # An offset past its buffer, far past it, and before it.
    ('tags', 1, 5, 10**6),
    ('tags', 1, 5, 2**31 - 1),
    ('tags', 1, 0, -(2**30)),
    ('lists', 1, 3, 10**6),
    ('item', 1, 2, 10**6),
    ('Customer No', 2, 0, -1),  # no UTF-8
  ],
)
def test_a_stream_reads_nothing_but_its_own_buffers(
  tmp_path, column, buffer, at, number
):
  damaged = _damaged_stream(column, buffer, at, number)
  (tmp_path / 'rows.arrow').write_bytes(damaged)
  # A process of its own, which might crash.
  done = subprocess.run(
    [sys.executable, '-c', READ, tmp_path / 'rows.arrow'],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  lines = done.stdout.splitlines()
  assert len(lines) == 2
  for line in lines:
    assert f': batch 1, column {column!r}: not valid Arrow data' in line


READ = """
import io, sys, types
import pyarrow as pa
from rmtl_jax import types as rmtl_types
from rmtl_jax.serving import raw_rows

data = open(sys.argv[1], 'rb').read()

def read(found):
  try:
    for chunk in found.chunks(64):
      chunk.table.to_pydict()
  except rmtl_types.InputError as error:
    print(error)

sys.stdin = types.SimpleNamespace(
  buffer=io.BytesIO(data), isatty=lambda: False
)
with raw_rows.open_rows('-') as found:
  read(found)
read(raw_rows.rows_of_table(pa.ipc.open_stream(data).read_all()))
"""

from __future__ import annotations

import gzip
import re

import duckdb
import pytest

from rmtl_jax import types
from rmtl_jax.preparation.raw import load as raw_load
from rmtl_jax.preparation.raw import raw_files as raw

KINDS = {'a': 'BIGINT', 'c': 'DOUBLE'}


@pytest.fixture
def connection():
  with duckdb.connect() as found:
    found.execute("SET TimeZone = 'UTC'")
    yield found


def load(connection, path, data, **options):
  path.write_bytes(data)
  kinds = options.pop('kinds', KINDS)
  table = raw_load.load(
    connection, [path], raw_load.Columns(kinds), raw.Form(**options)
  )
  return connection.execute(
    f'SELECT {", ".join(kinds)} FROM {table.name} ORDER BY rowid'
  ).fetchall(), table


@pytest.mark.parametrize(
  'data',
  [
    b'a,b,c\n1,x,2.5\n2,,\n',
    b'\xef\xbb\xbfa,b,c\n1,x,2.5\n2,,\n',
    b'a,b,c\r\n1,x,2.5\r\n2,,\r\n',
    b'a,b,c\n1,x,2.5\n2,,',
    b'"a","b","c"\n"1","x","2.5"\n"2","",""\n',
    b'b,c,a\nx,2.5,1\n,,2\n',
    b'a,b,c\n1,x,2.5\n\n2,,\n\n',
  ],
  ids=['plain', 'mark', 'crlf', 'no-end', 'quoted', 'order', 'blank-lines'],
)
def test_same_rows(connection, tmp_path, data):
  rows, table = load(connection, tmp_path / 'x.csv', data)
  assert rows == [(1, 2.5), (2, None)]
  assert table.rows == 2
  assert table.warnings == ()


def test_gzip_tab_and_several_files(connection, tmp_path):
  (tmp_path / '1.csv.gz').write_bytes(gzip.compress(b'a\tc\n1\t2\n5\t6\n'))
  (tmp_path / '2.csv').write_bytes(b'c\ta\n4\t3\n')
  paths = [tmp_path / '1.csv.gz', tmp_path / '2.csv']
  table = raw_load.load(
    connection, paths, raw_load.Columns(KINDS), raw.Form('\t')
  )
  assert connection.execute(
    f'SELECT rowid, a, c FROM {table.name}'
  ).fetchall() == [(0, 1, 2.0), (1, 5, 6.0), (2, 3, 4.0)]
  assert [(f.first_row, f.rows) for f in table.files] == [(0, 2), (2, 1)]
  with pytest.raises(types.InputError, match=r"2\.csv: row 2, column 'a': '3'"):
    table.fail(2, 'a', 'something else')
  with pytest.raises(types.InputError, match=r"gz: row 3, column 'c': '6'"):
    table.fail(1, 'c', 'something else')


@pytest.mark.parametrize(
  ('data', 'line'),
  [
    (b'', 'is empty, expected a header and rows'),
    (b'a,b,c\n', 'no rows below the header'),
    (b'a,b\n1,2\n', "no column 'c'; it has a, b"),
    (b'a,b,c,b\n1,2,3,4\n', "column 'b' occurs twice"),
    (b'a,b,c\n1,x,2\nq,y,3\n', "row 3, column 'a': 'q', expected a whole"),
    (b'a,b,c\n1,x,2\n3,y\n5,z,6\n', 'row 3: 2 values, expected 3'),
    (b'a,b,c\n1,x,2\n3,\xff,4\n', "row 3, column 'b': not valid UTF-8"),
    (b'a,b,c\n1,"x"y,2\n', "row 2, column 'b': a quoted value does not end"),
    (b'a,b,c\r\n1,x,2\n3,y,4\n', 'line ends are mixed'),
    (
      b'a,b,c\n1,"x\ny",2\nbad,z,3\n',
      "column 'a': 'bad', expected a whole number",
    ),
  ],
)
def test_faults(connection, tmp_path, data, line):
  path = tmp_path / 'x.csv'
  with pytest.raises(types.InputError, match=re.escape(line)) as caught:
    load(connection, path, data)
  assert str(caught.value).startswith(f'{path}: ')
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('end', 'cut'), [(b'\n', b'3'), (b'\r\n', b'3,y'), (b'\n', b'3,"y')]
)
def test_incomplete_final_record_is_dropped_on_request(
  connection, tmp_path, end, cut
):
  data = b'a,b,c' + end + b'1,x,2' + end + cut
  path = tmp_path / 'x.csv'
  rows, table = load(connection, path, data, drop_cut_off=True)
  assert rows == [(1, 2.0)]
  assert table.warnings == ('x.csv: row 3 is incomplete; dropped',)
  with pytest.raises(types.InputError, match='row 3'):
    load(connection, path, data)


def test_files_without_a_header(connection, tmp_path):
  path = tmp_path / 'x.csv'
  rows, table = load(connection, path, b'1,x,2\n3,y,4\n', names=('a', 'b', 'c'))
  assert rows == [(1, 2.0), (3, 4.0)]
  with pytest.raises(types.InputError, match=r"row 2, column 'c': '4'"):
    raw.check(connection, table, [('c', 'c > 3', 'less')])
  with pytest.raises(types.InputError, match=r"row 1, column 'a': 'a'"):
    load(connection, path, b'a,b,c\n', names=('a', 'b', 'c'))
  with pytest.raises(types.InputError, match=r'x\.csv: no rows$'):
    load(connection, path, b'', names=('a', 'b', 'c'))


def test_long_delimiters_and_another_encoding(connection, tmp_path):
  options = {'delimiter': '::', 'quote': '', 'encoding': 'latin-1'}
  path = tmp_path / 'x.dat'
  data = 'a::b::c\n1::"Misérables::2\n3::y:z::4\n'.encode('latin-1')
  rows, table = load(
    connection, path, data, kinds=KINDS | {'b': 'VARCHAR'}, **options
  )
  assert rows == [(1, 2.0, '"Misérables'), (3, 4.0, 'y:z')]
  with pytest.raises(types.InputError, match=r"row 3, column 'b': 'y:z'"):
    raw.check(connection, table, [('b', "b = 'y:z'", 'less')])
  with pytest.raises(types.InputError, match=r"row 2, column 'c': 'two'"):
    load(connection, path, b'a::b::c\n1::x::two\n', **options)

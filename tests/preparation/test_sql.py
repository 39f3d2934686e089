from __future__ import annotations

import math

import duckdb
import hypothesis
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.preparation import sql


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
  value=st.floats(allow_nan=False, allow_infinity=False), word=st.text()
)
def test_literals_are_exact(value, word):
  hypothesis.assume('\x00' not in word)
  with sql.connect(threads=1) as connection:
    found = sql.fetch_row(
      connection, f'SELECT {sql.float_literal(value)}, {sql.literal(word)}'
    )
  assert math.copysign(1, found[0]) == math.copysign(1, value)
  assert found == (value, word)


def test_quoted_names():
  with sql.connect() as connection:
    name = 'odd "name" of one'
    connection.execute(f'CREATE TABLE t AS SELECT 3 AS {sql.quote(name)}')
    assert sql.fetch_row(
      connection, f'SELECT {sql.quote_all([name])} FROM t'
    ) == (3,)


def test_rows_are_inserted_by_name():
  with sql.connect() as connection:
    connection.execute('CREATE TABLE t (a BIGINT, b VARCHAR, c DOUBLE)')
    sql.insert(connection, 't', pa.table({'b': ['x', None], 'a': [1, 2]}))
    sql.insert(connection, 't', pa.table({'a': [3], 'c': [0.5]}))
    found = connection.execute('FROM t ORDER BY a').fetchall()
    assert found == [(1, 'x', None), (2, None, None), (3, None, 0.5)]
    with pytest.raises(duckdb.CatalogException):
      connection.execute('FROM inserted')


def test_fresh_names_differ():
  assert sql.unique_name('a') != sql.unique_name('a')


def test_tables_keep_their_rows_and_views_follow():
  with sql.connect() as connection:
    first = sql.create_table(connection, 'SELECT 3 AS a')
    view = sql.create_view(connection, f'SELECT a + 1 AS b FROM {first}')
    second = sql.create_table(connection, f'FROM {view}')
    connection.execute(f'UPDATE {first} SET a = 7')
    values = [
      sql.fetch_value(connection, f'FROM {name}')
      for name in (first, view, second)
    ]
    sql.drop_tables(connection, first, second)
    left = [sql.has_table(connection, name) for name in (first, view, second)]
  assert values == [7, 8, 4]
  assert left == [False, True, False]


def test_connection_settings(tmp_path):
  with sql.connect('100MB', 1, str(tmp_path / "it's")) as connection:
    found = sql.fetch_row(
      connection,
      "SELECT current_setting('threads'), current_setting('TimeZone'),"
      " current_setting('temp_directory')",
    )
  assert found == (1, 'UTC', str(tmp_path / "it's"))


@pytest.mark.parametrize('limit', ['4', 'GB', '-4GB', "4GB'; DROP TABLE x"])
def test_bad_memory_limits(limit):
  with pytest.raises(types.InputError, match='is not a size such as 4GB'):
    sql.connect(limit)


@pytest.mark.parametrize('limit', ['4GB', '4 GiB', '1.5TB', '50%'])
def test_good_memory_limits(limit):
  sql.connect(limit).close()


def test_empty_text_is_a_missing_key():
  key = sql.null_if_empty
  with sql.connect() as connection:
    rows = "(VALUES ('a', 1::INTEGER, 1.5), ('', 0, 0.0), (NULL, NULL, NULL))"
    found = connection.execute(
      f'SELECT {key("t")}, {key("i")}, {key("d")} FROM {rows} x(t, i, d)'
    ).fetchall()
    kinds = sql.fetch_row(
      connection,
      f'SELECT DISTINCT typeof({key("t")}), typeof({key("i")})'
      f' FROM {rows} x(t, i, d)',
    )
  assert found == [('a', 1, 1.5), (None, 0, 0.0), (None, None, None)]
  assert kinds == ('VARCHAR', 'INTEGER')


def test_nan_is_a_missing_key():
  key = sql.null_if_empty
  rows = "(VALUES ('nan'::DOUBLE, '-nan'::FLOAT, 'nan', 'inf'::DOUBLE))"
  typed = [key('d', 'DOUBLE'), key('f', 'FLOAT')]
  with sql.connect() as connection:
    found = sql.fetch_row(
      connection,
      f'SELECT {", ".join([*map(key, "dfti"), *typed])}'
      f' FROM {rows} x(d, f, t, i)',
    )
  assert found == (None, None, 'nan', math.inf, None, None)


def test_nan_is_found_in_a_parquet_file(tmp_path):
  """Whose least and largest value leave it out."""
  path = tmp_path / 'log.parquet'
  values = [1.0, math.nan, -math.nan, None, math.inf, -math.inf, 0.0]
  pq.write_table(pa.table({'x': values}), path)
  with sql.connect() as connection, sql.scan_file(path, 'parquet') as rows:
    found = connection.execute(f'SELECT {sql.is_nan("x")} FROM {rows}')
    is_nan = [one for (one,) in found.fetchall()]
  assert is_nan == [False, True, True, None, False, False, False]


@pytest.mark.parametrize(
  ('value', 'text'),
  [
    ('118::DOUBLE', '118'),
    ("'-0.0'::DOUBLE", '0'),
    ('-7::DOUBLE', '-7'),
    ('118.5::DOUBLE', '118.5'),
    ('9007199254740991::DOUBLE', '9007199254740991'),
    ('9007199254740992::DOUBLE', '9007199254740992.0'),
    ('1e300::DOUBLE', '1e+300'),
    ("'nan'::DOUBLE", None),
    ("'-nan'::DOUBLE", None),
    ("'-inf'::DOUBLE", '-inf'),
    ('16777215::FLOAT', '16777215'),
    ('16777216::FLOAT', '16777216.0'),
    ('118::DECIMAL(10, 2)', '118'),
    ('118.5::DECIMAL(10, 2)', '118.50'),
    ("'118.0'", '118.0'),
    ('118', '118'),
    ('true', 'true'),
    ("DATE '2024-01-01'", '2024-01-01'),
    ('NULL', None),
  ],
)
def test_values_as_text(value, text):
  with sql.connect() as connection:
    query = f'SELECT {sql.value_text("v")} FROM (SELECT {value} AS v)'
    assert sql.fetch_row(connection, query) == (text,)
    query = f'SELECT {sql.value_texts("v")} FROM (SELECT [{value}] AS v)'
    assert sql.fetch_row(connection, query) == ([text],)
    rows = f'(SELECT {value} AS v)'
    kind = sql.column_types(connection, rows)['v']
    query = f'SELECT {sql.value_text("v", kind)} FROM {rows}'
    assert sql.fetch_row(connection, query) == (text,)


@pytest.mark.parametrize(
  'value',
  [
    "'a'",
    "''",
    "'nan'",
    '0',
    '1::HUGEINT',
    "'nan'::DOUBLE",
    "'nan'::FLOAT",
    '0.0::DOUBLE',
    '1.50::DECIMAL(10, 2)',
    'NULL::VARCHAR',
    'NULL::BIGINT',
    'true',
    "''::BLOB",
  ],
)
def test_a_known_type_changes_no_key(value):
  with sql.connect() as connection:
    rows = f'(SELECT {value} AS v)'
    kind = sql.column_types(connection, rows)['v']
    given = f'{sql.null_if_empty("v")}, {sql.null_if_empty("v", kind)}'
    any_type, known = sql.fetch_row(connection, f'SELECT {given} FROM {rows}')
  assert any_type == known


def test_joins_as_written_leave_the_settings_as_they_were():
  query = "SELECT current_setting('disabled_optimizers')"
  with sql.connect() as connection:
    for before in ('', 'top_n'):
      connection.execute(f"SET disabled_optimizers = '{before}'")
      with (
        pytest.raises(duckdb.Error),
        sql.joins_as_written(connection),
      ):
        assert 'join_order' in sql.fetch_row(connection, query)[0]
        assert before in sql.fetch_row(connection, query)[0]
        connection.execute('SELECT no_such_column')
      assert sql.fetch_row(connection, query) == (before,)


def test_cursors_have_the_settings_too():
  with sql.connect() as connection, connection.cursor() as cursor:
    query = "SELECT current_setting('TimeZone')"
    assert sql.fetch_row(cursor, query) == ('UTC',)


def test_any_row():
  with sql.connect() as connection:
    assert sql.any_row(connection, 'range(5) x(i)', 'i = 4')
    assert not sql.any_row(connection, 'range(5) x(i)', 'i = 5 OR i IS NULL')
    assert not sql.any_row(connection, 'range(0) x(i)', 'true')


@pytest.mark.parametrize(
  ('raised', 'told', 'match'),
  [
    (
      duckdb.OutOfMemoryException('no room\nfor more'),
      types.InputError,
      'memory_limit: too small: no room$',
    ),
    (
      duckdb.OutOfMemoryException('Failed to allocate (bad allocation)'),
      MemoryError,
      r'Failed to allocate \(bad allocation\)$',
    ),
    (duckdb.InterruptException('INTERRUPT Error'), KeyboardInterrupt, '^$'),
    (RuntimeError('Query interrupted'), KeyboardInterrupt, '^$'),
    (RuntimeError('another'), RuntimeError, '^another$'),
    (duckdb.BinderException('no column'), duckdb.BinderException, 'no column'),
  ],
)
def test_what_can_end_work_is_told_in_our_words(raised, told, match):
  with pytest.raises(told, match=match), sql.translate_errors():
    raise raised


def test_a_broken_disk_is_no_fault_of_the_file_that_is_read():
  broken = duckdb.IOException('Could not write file "out": Input/output error')
  with pytest.raises(duckdb.IOException), sql.name_errors('log', 'not numbers'):
    raise broken
  with (
    pytest.raises(types.InputError, match=r'^log: not numbers: no int'),
    sql.name_errors('log', 'not numbers'),
  ):
    raise duckdb.ConversionException('no int')

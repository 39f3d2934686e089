from __future__ import annotations

import math

import hypothesis
import pytest
from hypothesis import strategies as st

from rmtl_jax import types
from rmtl_jax.data import sql


@hypothesis.settings(deadline=None, max_examples=50)
@hypothesis.given(
  value=st.floats(allow_nan=False, allow_infinity=False), word=st.text()
)
def test_literals_are_exact(value, word):
  hypothesis.assume('\x00' not in word)
  with sql.connect(threads=1) as connection:
    found = sql.one(connection, f'SELECT {sql.number(value)}, {sql.text(word)}')
  assert math.copysign(1, found[0]) == math.copysign(1, value)
  assert found == (value, word)


def test_quoted_names():
  with sql.connect() as connection:
    name = 'odd "name" of one'
    connection.execute(f'CREATE TABLE t AS SELECT 3 AS {sql.quote(name)}')
    assert sql.one(connection, f'SELECT {sql.names([name])} FROM t') == (3,)


def test_fresh_names_differ():
  assert sql.fresh('a') != sql.fresh('a')


def test_connection_settings(tmp_path):
  with sql.connect('100MB', 1, str(tmp_path / "it's")) as connection:
    found = sql.one(
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
  with sql.connect() as connection:
    rows = "(VALUES ('a', 1::INTEGER, 1.5), ('', 0, 0.0), (NULL, NULL, NULL))"
    found = connection.execute(
      f'SELECT {sql.key("t")}, {sql.key("i")}, {sql.key("d")}'
      f' FROM {rows} x(t, i, d)'
    ).fetchall()
    kinds = sql.one(
      connection,
      f'SELECT DISTINCT typeof({sql.key("t")}), typeof({sql.key("i")})'
      f' FROM {rows} x(t, i, d)',
    )
  assert found == [('a', 1, 1.5), (None, 0, 0.0), (None, None, None)]
  assert kinds == ('VARCHAR', 'INTEGER')


def test_any_row():
  with sql.connect() as connection:
    assert sql.any_row(connection, 'range(5) x(i)', 'i = 4')
    assert not sql.any_row(connection, 'range(5) x(i)', 'i = 5 OR i IS NULL')
    assert not sql.any_row(connection, 'range(0) x(i)', 'true')

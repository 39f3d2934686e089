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

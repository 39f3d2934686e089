from __future__ import annotations

import math

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.preparation import sql


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
    ('9007199254740992::DOUBLE', '9007199254740992.0'),
    ('1e300::DOUBLE', '1e+300'),
    ("'nan'::DOUBLE", None),
    ("'-inf'::DOUBLE", '-inf'),
    ('118::DECIMAL(10, 2)', '118'),
    ("'118.0'", '118.0'),
    ('NULL', None),
  ],
)
def test_values_as_text(value, text):
  with sql.connect() as connection:
    query = f'SELECT {sql.value_text("v")} FROM (SELECT {value} AS v)'
    assert sql.fetch_row(connection, query) == (text,)
    query = f'SELECT {sql.value_texts("v")} FROM (SELECT [{value}] AS v)'
    assert sql.fetch_row(connection, query) == ([text],)

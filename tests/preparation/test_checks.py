from __future__ import annotations

import duckdb
import pytest

from rmtl_jax import types
from rmtl_jax.preparation import source, value_checks
from rmtl_jax.preparation.raw import load

HEADER = 'key,ts,n,click,buy'


def check(tmp_path, *lines, transform='standard', any_dates=True, first=5):
  path = tmp_path / 'log.csv'
  path.write_text('\n'.join([HEADER, f'a,{first},1.5,1,1', *lines]) + '\n')
  with duckdb.connect() as connection:
    kinds = {'key': 'VARCHAR', 'ts': 'BIGINT'}
    kinds |= dict.fromkeys(('n', 'click', 'buy'), 'DOUBLE')
    table = load.load(connection, [path], load.Columns(kinds))
    connection.execute(
      'CREATE VIEW log AS SELECT rowid AS row_id, key AS session, NULL AS'
      ' "user", ts AS timestamp, n AS x_n, click AS y_click, buy AS y_buy'
      f' FROM {table.name}'
    )
    value_checks.check(
      connection,
      source.SourceTable(
        view='log',
        fields=(source.SourceField('n', 'numeric', transform=transform),),
        tasks=(
          source.SourceTask('click', None, 'click'),
          source.SourceTask('buy', 'click', 'buy'),
        ),
        table=table,
        has_session=True,
        has_user=False,
        time_column='ts',
        key_column='key',
      ),
      any_dates,
    )


@pytest.mark.parametrize(
  'line', ['b,5,,0,0', 'b,5,nan,1,0', 'b,-5,-1,1,1', 'b,5,-1e30,1,1']
)
def test_good_rows(tmp_path, line):
  check(tmp_path, line)


@pytest.mark.parametrize(
  ('line', 'column'),
  [
    (',5,1,1,1', 'key'),
    ('b,,1,1,1', 'ts'),
    ('b,5,1e31,1,1', 'n'),
    ('b,5,1,2,1', 'click'),
    ('b,5,1,,0', 'click'),
    ('b,5,1,0,1', 'buy'),
  ],
)
def test_faults_name_the_raw_column_and_row(tmp_path, line, column):
  with pytest.raises(types.InputError, match=f"row 3, column '{column}': "):
    check(tmp_path, line, 'b,5,1,9,9')


def test_dates_in_another_unit_are_told(tmp_path):
  expected = (
    "row 3, column 'ts': '1700000000', expected a time between the years"
  )
  with pytest.raises(types.InputError, match=expected) as caught:
    check(tmp_path, 'b,1700000000,1,1,1', any_dates=False, first=10**12)
  assert '--any_dates' in str(caught.value)

"""SQL over raw files: one SELECT over the tables that the schema declares."""

from __future__ import annotations

import json

import pytest

from rmtl_jax import types
from tests.preparation import raw_files

SCHEMA = {
  'raw': {
    'log': {'one_of': ['log.csv'], 'columns': {'BIGINT': ['u', 'i', 't', 'y']}},
    'items': {
      'files': ['items*.csv'],
      'columns': {'BIGINT': ['i'], 'VARCHAR': ['brand']},
      'optional': True,
    },
  },
  'sql': 'SELECT log.*, brand FROM log LEFT JOIN items USING (i)',
  'user': 'u',
  'time': {'column': 't', 'unit': 's'},
  'categorical': ['u', 'i', 'brand'],
  'tasks': [{'name': 'click', 'column': 'y'}],
}


def run(tmp_path, **changes):
  rows = [f'{i % 7},{i % 3},{10**9 + i * 3600},{i % 2}' for i in range(60)]
  (tmp_path / 'log.csv').write_text('\n'.join(['u,i,t,y', *rows]))
  (tmp_path / 'schema.json').write_text(json.dumps(SCHEMA | changes))
  return raw_files.run(
    tmp_path, 'table', tmp_path, schema=str(tmp_path / 'schema.json')
  )


def test_a_table_is_joined_and_may_be_missing(tmp_path):
  assert [f.name for f in run(tmp_path).fields] == ['u', 'i']
  (tmp_path / 'items.csv').write_text('i,brand\n0,acme\n1,other\n')
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / 'items.csv').write_text('i,brand\n0,acme\n1,other\n')
  assert [f.name for f in run(tmp_path / 'b').fields] == ['u', 'i', 'brand']


@pytest.mark.parametrize(
  'statement',
  [
    "SELECT * FROM log) q; COPY (SELECT 1) TO '{path}'; --",
    "COPY (SELECT 1) TO '{path}'",
    "SELECT * FROM log WHERE EXISTS (FROM read_text('{path}'))",
    "SELECT * FROM log, '{path}'",
    'SELECT * FROM information_schema.tables',
  ],
)
def test_a_statement_reads_the_raw_tables_alone(tmp_path, statement):
  path = tmp_path / 'other.csv'
  with pytest.raises(types.InputError, match='schema: sql: '):
    run(tmp_path, sql=statement.format(path=path))
  assert not path.exists()

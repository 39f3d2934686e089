"""Raw files that tests write themselves, and prepared data read back."""

from __future__ import annotations

import gzip
import json
import pathlib
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import prepare_log, sources, sql, value_checks
from rmtl_jax.preparation import source as source_lib

SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}
HEADER = 'user,item,ts,price,clicked,bought'


def write(path: pathlib.Path, lines: Sequence[str], end: str = '\n') -> None:
  """Writes lines, every one ended; gzipped if the name says so."""
  data = ''.join(line + end for line in lines).encode()
  path.parent.mkdir(parents=True, exist_ok=True)
  if path.suffix == '.gz':
    data = gzip.compress(data)
  path.write_bytes(data)


def table_lines(rows: int = 20) -> list[str]:
  """A CSV table of SCHEMA: one session per row, times 0, 1e6, 2e6, …"""
  lines = [HEADER]
  for i in range(rows):
    click, buy = int(i % 2 == 0), int(i % 4 == 0)
    lines.append(f'u{i % 3},i{i % 4},{i * 10**7},{i / 2},{click},{buy}')
  return lines


def write_schema(path: pathlib.Path, record: Any = None, **changes: Any) -> str:
  """Writes a schema file; returns its path as text."""
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(record or (SCHEMA | changes)))
  return str(path)


def run(
  tmp_path: pathlib.Path, source: str, raw_dir: pathlib.Path, **options: Any
) -> manifest_lib.Manifest:
  """Prepares into tmp_path/out.

  Every value in a vocabulary, any dates, no as-of features if not asked for.
  """
  return prepare_log.prepare(
    prepare_settings.PrepareConfig(
      source=source,
      raw_dir=str(raw_dir),
      data_dir=str(tmp_path / 'out'),
      **{'min_count': 1, 'any_dates': True, 'as_of': (), **options},
    )
  )


def read_source(
  name: str, raw_dir: pathlib.Path, **options: Any
) -> tuple[source_lib.SourceTable, list[dict[str, Any]]]:
  """What a reader gives, and the rows of its view in order, as dicts."""
  config = prepare_settings.PrepareConfig(source=name, **options)
  with sql.connect() as connection:
    table = sources.RECORDS.find(name).read(connection, raw_dir, config)
    value_checks.check(connection, table, config.any_dates)
    order = f'FROM {table.view} ORDER BY row_id'
    found = connection.execute(f'SELECT * {order}')
    names = [column[0] for column in found.description or []]
    rows = [dict(zip(names, row, strict=True)) for row in found.fetchall()]
    if table.keys:
      kept = ('row_id', 'session', 'user', 'timestamp')
      kept += ('split',) * table.has_split
      listed = ', '.join(map(sql.quote, kept))
      keys = connection.execute(
        f'SELECT {listed} FROM {table.keys} ORDER BY row_id'
      ).fetchall()
      assert keys == [tuple(row[name] for name in kept) for row in rows]
  return table, rows


def run_table(
  tmp_path: pathlib.Path, lines: Sequence[str], **options: Any
) -> manifest_lib.Manifest:
  """Prepares a CSV table of SCHEMA."""
  write(tmp_path / 'raw' / 'log.csv', lines)
  schema = options.pop('schema', None)
  return run(
    tmp_path,
    'table',
    tmp_path / 'raw' / 'log.csv',
    schema=schema or write_schema(tmp_path / 'schema.json'),
    **options,
  )


def fails(tmp_path: pathlib.Path, call: Any, *words: str) -> str:
  """Checks that a call raises one clear line and leaves nothing behind."""
  before = sorted(tmp_path.rglob('*'))
  with pytest.raises(types.InputError) as caught:
    call()
  line = str(caught.value)
  assert '\n' not in line
  for word in words:
    assert word in line
  assert sorted(tmp_path.rglob('*')) == before
  return line


def read(tmp_path: pathlib.Path, split: str = '') -> list[dict[str, Any]]:
  """Rows of one split, or of all, in order, as dicts."""
  manifest = manifest_file.read(tmp_path / 'out')
  splits = [split] if split else manifest_lib.SPLITS
  tables = [
    pq.read_table(tmp_path / 'out' / file, partitioning=None)
    for name in splits
    for file in manifest.splits[name].files
  ]
  return pa.concat_tables(tables).to_pylist()


def vocabulary(tmp_path: pathlib.Path, field: str) -> list[Any]:
  """The values of a vocabulary, row 0 (None) included."""
  path = tmp_path / 'out' / 'vocabulary' / f'{field}.parquet'
  return pq.read_table(path, partitioning=None)['value'].to_pylist()


def decoded(tmp_path: pathlib.Path, field: str, split: str = '') -> list[Any]:
  """Values of a categorical field, row by row; None for row 0."""
  words = vocabulary(tmp_path, field)
  return [words[row[f'f_{field}']] for row in read(tmp_path, split)]

"""Reads Criteo's attribution log (Diemert et al., AdKDD 2017).

`criteo_attribution_dataset.tsv.gz`, a row per shown banner. Tasks: click; a
conversion within 30 days, of a clicked banner; and its attribution to that
banner. `timestamp` counts seconds from the log's first row, so hours are those
since then. Where `conversion_timestamp` is there, conversions that come after
the end of train or validation are unknown to it.

What is known only afterwards is no feature: `conversion_id`, `click_pos`,
`click_nb`, `cpo`.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.sources import official

_LABELS = ('click', 'conversion', 'attribution')
_CATEGORICAL = ('uid', 'campaign', *(f'cat{i}' for i in range(1, 10)))
_SINCE = 'time_since_last_click'
_CONVERTED = 'conversion_timestamp'


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads the log, the only file of its directory."""
  del options
  path = official.only_file(
    raw_dir, ['*.tsv', '*.tsv.gz'], 'criteo_attribution_dataset.tsv.gz'
  )
  header = raw_csv.read_header(path, '\t')
  optional = [name for name in (_SINCE, _CONVERTED) if name in header]
  table = _load(connection, path, optional)
  is_timed = _CONVERTED in optional
  keys = {'row_id': 'rowid', 'session': 'NULL', 'user': 'uid'}
  keys['timestamp'] = 'timestamp * 1000'
  columns = _features(optional) | {'y_click': 'click'} | _labels(is_timed)
  return source.SourceTable(
    view=source.make_view(connection, keys | columns, table.name),
    keys=source.make_view(connection, keys, table.name),
    fields=tuple(
      source.field_of(column, 'log1p') for column in _features(optional)
    ),
    tasks=(
      source.SourceTask('click', None, 'click'),
      source.SourceTask('conversion', 'click', 'conversion', timed=is_timed),
      source.SourceTask(
        'attribution', 'conversion', 'attribution', timed=is_timed
      ),
    ),
    table=table,
    files=(path,),
    any_dates=True,
    time_unit='s',
    key_column='uid',
    user_field='uid',
    item_field='campaign',
  )


def _features(optional: Sequence[str]) -> dict[str, str]:
  """SQL of the view's features, by column."""
  columns = {f'f_{name}': name for name in _CATEGORICAL}
  columns['f_hour'] = times.parts('timestamp * 1000')['hour']
  columns['x_cost'] = 'cost'
  if _SINCE in optional:
    # -1 before a user's first click.
    columns[f'x_{_SINCE}'] = f'CASE WHEN {_SINCE} >= 0 THEN {_SINCE} END'
  return columns


def _labels(is_timed: bool) -> dict[str, str]:
  """SQL of the labels after the click, or of their times, by column."""
  columns = {}
  for name, value in (
    ('conversion', 'click * conversion'),
    ('attribution', 'click * conversion * attribution'),
  ):
    if is_timed:
      ms = f'greatest({_CONVERTED}, timestamp) * 1000'
      columns[f't_{name}'] = f'CASE WHEN {value} = 1 THEN {ms} END'
    else:
      columns[f'y_{name}'] = value
  return columns


def _load(
  connection: sql.Connection, path: pathlib.Path, optional: Sequence[str]
) -> raw.RawTable:
  """Reads the file and checks what labels and sessions are made of."""
  table = raw_csv.load(
    connection,
    [path],
    {
      'timestamp': 'BIGINT',
      **dict.fromkeys(_CATEGORICAL, 'BIGINT'),
      'cost': 'DOUBLE',
      **dict.fromkeys(_LABELS, 'DOUBLE'),
      **{n: 'DOUBLE' if n == _SINCE else 'BIGINT' for n in optional},
    },
    delimiter='\t',
  )
  whole = raw.EXPECTED['BIGINT']
  faults: list[raw.Fault] = [
    (
      'timestamp',
      'timestamp IS NULL OR timestamp NOT BETWEEN 0 AND 1e10',
      'seconds since the start of the log',
    ),
    ('uid', 'uid IS NULL', whole),
    # Before they are multiplied: 0 x 2 would hide the 2.
    *(
      (name, f'{name} IS NULL OR {name} NOT IN (0, 1)', '0 or 1')
      for name in _LABELS
    ),
  ]
  if _CONVERTED in optional:
    faults.append(
      (
        _CONVERTED,
        f'conversion = 1 AND ({_CONVERTED} IS NULL'
        f' OR {_CONVERTED} NOT BETWEEN 0 AND 1e10)',
        'the time of the conversion, in seconds',
      )
    )
  raw.check(connection, table, faults)
  return table

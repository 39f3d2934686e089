r"""Reads the video logs of Tenrec (Yuan et al., NeurIPS 2022).

`ctr_data_1M.csv`, `QK-video.csv`, `QB-video.csv`, `sbr_data_1M.csv`: a row per
shown video with `click`, `follow`, `like` and `share`, which are tasks of their
own; no time and no sessions. `hist_1..hist_10` of `ctr_data_1M.csv` become one
list. `watching_times` answers the exposure, so it is no feature. `\N` is a
missing value.

The paper draws train, validation and test as 8:1:1 from the rows, with all
clicks and twice as many rows without: `--split=8:1:1`, on all rows.
"""

from __future__ import annotations

import pathlib

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.sources import official

_TASKS = ('click', 'like', 'share', 'follow')
_CATEGORICAL = ('user_id', 'item_id', 'video_category', 'gender', 'age')
_HISTORY = tuple(f'hist_{i}' for i in range(1, 11))


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads one log, the only file of its directory."""
  del options
  path = official.only_file(
    raw_dir, ['*.csv', '*.csv.gz'], 'a video log such as ctr_data_1M.csv'
  )
  header = raw_csv.read_header(path)
  history = [name for name in _HISTORY if name in header]
  table = raw_csv.load(
    connection,
    [path],
    {
      'user_id': 'BIGINT',
      'item_id': 'BIGINT',
      **dict.fromkeys(_TASKS, 'DOUBLE'),
      **dict.fromkeys(_CATEGORICAL[2:], 'VARCHAR'),
      **dict.fromkeys(history, 'BIGINT'),
    },
    missing=('\\N',),
  )
  whole = raw.EXPECTED['BIGINT']
  raw.require_values(connection, table, {'user_id': whole, 'item_id': whole})
  columns = {f'f_{name}': name for name in _CATEGORICAL}
  if history:
    # 0 stands for no video.
    columns['m_hist'] = (
      f'list_filter([{", ".join(history)}], lambda item: item <> 0)'
    )
  columns |= {f'y_{name}': sql.quote(name) for name in _TASKS}
  keys = {'row_id': 'rowid', 'session': 'NULL', 'user': 'user_id'}
  keys['timestamp'] = '0::BIGINT'
  fields = [source.SourceField(name, 'categorical') for name in _CATEGORICAL]
  if history:
    fields.append(source.SourceField('hist', 'multi_valued', history[0]))
  return source.SourceTable(
    view=source.make_view(connection, keys | columns, table.name),
    keys=source.make_view(connection, keys, table.name),
    fields=tuple(fields),
    tasks=tuple(source.SourceTask(name, None, name) for name in _TASKS),
    table=table,
    files=(path,),
    has_time=False,
    key_column='user_id',
    user_field='user_id',
    item_field='item_id',
  )

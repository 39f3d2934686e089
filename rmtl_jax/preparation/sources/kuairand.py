"""Reads KuaiRand (Pure, 1K, 27K) from the files that its authors publish.

`log_standard_*.csv`, optionally `log_random_*.csv` (beside the others, or as a
split of its own), and if they exist
`user_features_*.csv` and `video_features_basic_*.csv`; each in one file or in
parts. A row is a row of the log, ordered by `time_ms`; click: `is_click`;
conversion: click and another feedback column, by default `long_view`; or, with
`feedback`, feedback columns as tasks of their own, as they are. `date` and
`hourmin` can run ahead of `time_ms` and are not used.
"""

from __future__ import annotations

import pathlib
import re
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import lists, source, sql
from rmtl_jax.preparation.raw import csv as raw_csv
from rmtl_jax.preparation.raw import files as raw
from rmtl_jax.preparation.raw import times

# The app's users live in Asia/Shanghai, which has no daylight saving.
_OFFSET_MS = 8 * 3_600_000
_VARIANT = re.compile(r'_(pure|1k|27k)(?=[_.])', re.IGNORECASE)
_USER_CATEGORICAL = (
  'user_active_degree',
  'is_lowactive_period',
  'is_live_streamer',
  'is_video_author',
  'follow_user_num_range',
  'fans_user_num_range',
  'friend_user_num_range',
  'register_days_range',
  *(f'onehot_feat{i}' for i in range(18)),
)
_USER_NUMERIC = (
  'follow_user_num',
  'fans_user_num',
  'friend_user_num',
  'register_days',
)
_VIDEO_CATEGORICAL = (
  'author_id',
  'video_type',
  'upload_type',
  'visible_status',
  'music_id',
  'music_type',
)
_VIDEO_NUMERIC = {
  'video_duration': 'log1p',
  'server_width': 'standard',
  'server_height': 'standard',
}
# DuckDB types of the columns that are read beside the key.
_USER_COLUMNS = {
  **dict.fromkeys(_USER_CATEGORICAL, 'VARCHAR'),
  **dict.fromkeys(_USER_NUMERIC, 'DOUBLE'),
}
_VIDEO_COLUMNS = {
  'upload_dt': 'VARCHAR',
  'tag': 'VARCHAR',
  **dict.fromkeys(_VIDEO_CATEGORICAL, 'VARCHAR'),
  **dict.fromkeys(_VIDEO_NUMERIC, 'DOUBLE'),
}


def read(
  connection: sql.Connection,
  raw_dir: pathlib.Path,
  options: prepare_config.PrepareConfig,
) -> source.SourceTable:
  """Reads the log and joins users and videos to it.

  Of the options it reads `variant` and `feedback`.
  """
  files = _find(raw_dir, options)
  tasks = _tasks(options)
  log = _read_log(connection, files['log'], tasks)
  columns = {
    'f_user_id': 'g.user_id',
    'f_video_id': 'g.video_id',
    **{
      f'f_{name}': value
      for name, value in times.parts('g.time_ms', _OFFSET_MS).items()
    },
    'f_tab': 'g.tab',
    'x_duration_ms': 'g.duration_ms',
  }
  labels = {
    f'y_{task.name}': f'g.is_click * g.{task.column}'
    if task.after
    else f'g.{task.column}'
    for task in tasks
  }
  joins, warnings = '', []
  if files['user']:
    table = _read_features(
      connection, files['user'], 'user_id', log, _USER_COLUMNS
    )
    joins += f' LEFT JOIN {table} u ON g.user_id = u.user_id'
    columns |= {f'f_{name}': f'u.{name}' for name in _USER_CATEGORICAL}
    columns |= {f'x_{name}': f'u.{name}' for name in _USER_NUMERIC}
  else:
    warnings.append('no user_features_*.csv: fields of users are left out')
  if files['video']:
    table = _read_features(
      connection, files['video'], 'video_id', log, _VIDEO_COLUMNS
    )
    joins += f' LEFT JOIN {table} v ON g.video_id = v.video_id'
    columns |= _video_columns()
  else:
    warnings.append(
      'no video_features_basic_*.csv: fields of videos are left out'
    )
  keys = {'row_id': 'g.row_id', 'session': 'NULL', 'user': 'g.user_id'}
  keys |= {'timestamp': 'g.time_ms', raw.ROW_HASH: f'g.{raw.ROW_HASH}'}
  rows = f'(SELECT rowid AS row_id, * FROM {log.name}) g'
  return source.SourceTable(
    view=source.make_view(connection, keys | columns | labels, rows + joins),
    keys=source.make_view(connection, keys, rows),
    fields=tuple(
      source.field_of(column, _VIDEO_NUMERIC.get(column[2:], 'log1p'))
      for column in columns
    ),
    tasks=tasks,
    table=log,
    files=(*files['log'], *files['user'], *files['video']),
    time_column='time_ms',
    key_column='user_id',
    user_field='user_id',
    item_field='video_id',
    identity=(raw.ROW_HASH,),
    warnings=tuple(warnings),
    options={'feedback': list(options.feedback)} if options.feedback else {},
  )


def _tasks(
  options: prepare_config.PrepareConfig,
) -> tuple[source.SourceTask, ...]:
  """The click, and what is asked for beside it.

  The log does not tell when a label became known: `time_ms` may be the
  exposure's or the answer's, and a play has a length but no start. Feedback
  columns are no funnel: a few rows have one without a click.
  """
  click = source.SourceTask('click', None, 'is_click')
  if not options.feedback:
    return click, source.SourceTask('conversion', 'click', 'long_view')
  every = (*prepare_config.FEEDBACK, *prepare_config.STAYS)
  names = every if 'all' in options.feedback else options.feedback
  return click, *map(_feedback_task, names)


def _feedback_task(name: str) -> source.SourceTask:
  """A feedback column as a task; most times are 0, and some are hours."""
  if name in prepare_config.FEEDBACK:
    return source.SourceTask(name, None, name)
  return source.SourceTask(
    name, None, name, kind=kinds.REGRESSION, loss='zero_inflated_log_normal'
  )


def _find(
  raw_dir: pathlib.Path, options: prepare_config.PrepareConfig
) -> dict[str, list[pathlib.Path]]:
  """Finds the files of one variant: 'log', 'user', 'video'."""
  what = 'a directory with log_standard_*.csv'
  found = {
    'log': raw.find_files(raw_dir, ['log_standard_*.csv*'], what),
    'user': raw.find_files(raw_dir, ['user_features_*.csv*'], what),
    'video': raw.find_files(raw_dir, ['video_features_basic_*.csv*'], what),
  }
  variants = {
    match.group(1).lower()
    for paths in found.values()
    for path in paths
    if (match := _VARIANT.search(path.name))
  }
  if options.variant == 'auto' and len(variants) > 1:
    raise types.InputError(
      f'{raw_dir}: has files of {", ".join(sorted(variants))}; choose one'
      ' with variant'
    )
  if options.variant != 'auto':
    found = {
      kind: [p for p in paths if _is_of(p, options.variant)]
      for kind, paths in found.items()
    }
  if not found['log']:
    wanted = 'log_standard_*.csv'
    if options.variant != 'auto':
      wanted += f' of variant {options.variant}'
    raise types.InputError(f'{raw_dir}: no {wanted}')
  return found


def _is_of(path: pathlib.Path, variant: str) -> bool:
  match = _VARIANT.search(path.name)
  return match is None or match.group(1).lower() == variant


def _read_log(
  connection: sql.Connection,
  paths: list[pathlib.Path],
  tasks: Sequence[source.SourceTask],
) -> raw.RawTable:
  log = raw_csv.load(
    connection,
    paths,
    {
      'user_id': 'BIGINT',
      'video_id': 'BIGINT',
      'time_ms': 'BIGINT',
      'tab': 'BIGINT',
      'duration_ms': 'DOUBLE',
      'is_rand': 'BIGINT',
      **{task.column: 'DOUBLE' for task in tasks},
    },
    row_hash=True,
  )
  raw.require_values(connection, log, {'video_id': 'a whole number'})
  # Before the two are multiplied: 0 x 2 would hide the 2.
  raw.check(
    connection,
    log,
    [
      (name, f'{name} IS NULL OR {name} NOT IN (0, 1)', '0 or 1')
      for name in [task.column for task in source.binary(tasks)]
    ],
  )
  return log


def _read_features(
  connection: sql.Connection,
  paths: list[pathlib.Path],
  key: str,
  log: raw.RawTable,
  columns: dict[str, str],
) -> str:
  """Makes a table of features of the log's users or videos, one row each."""
  loaded = raw_csv.load(
    connection,
    paths,
    {key: 'BIGINT', **columns},
    where=f'{key} IN (SELECT {key} FROM {log.name})',
  )
  table = sql.create_table(
    connection,
    f'SELECT DISTINCT ON ({key}) * FROM {loaded.name} ORDER BY {key}, rowid',
  )
  sql.drop_tables(connection, loaded.name)
  return table


def _video_columns() -> dict[str, str]:
  uploaded = 'epoch_ms(CAST(TRY_CAST(v.upload_dt AS DATE) AS TIMESTAMP))'
  age = f'(g.time_ms + {_OFFSET_MS} - {uploaded}) / 86400000'
  return {
    **{f'f_{name}': f'v.{name}' for name in _VIDEO_CATEGORICAL},
    'm_tag': lists.split_values('v.tag', ','),
    **{f'x_{name}': f'v.{name}' for name in _VIDEO_NUMERIC},
    # Days; a row can seem older than its video, whose time of day is unknown.
    'x_video_age': f'CASE WHEN {uploaded} IS NULL THEN NULL'
    f' ELSE greatest({age}, 0) END',
  }

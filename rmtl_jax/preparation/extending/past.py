"""DATA/past: state of past rows for an extension.

`rows-<n>.parquet` has every row of the log, those too that no split has, in the
order of the extensions that wrote them. Its columns are those of a reader's
rows (rmtl_jax.preparation.source) that sessions and as-of features are made of:
`row_id` as in prepared data, `session`, `user`, `timestamp`, the item, the
fields that `tastes` is made by, `y_<task>` and `t_<task>`. Keys are text; the
`session` of a log of events is its number in prepared data.

`events.parquet`, of a log of events, has the events of sessions that may
continue. `users.parquet` has the numbers of users that are none themselves.
"""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence

from rmtl_jax import types
from rmtl_jax.data import reading
from rmtl_jax.preparation import (
  contract,
  source,
  sql,
  time_window,
)
from rmtl_jax.preparation.extending import base as base_lib
from rmtl_jax.preparation.sources import pairs

FOLDER = 'past'
_USERS, _EVENTS = 'users.parquet', 'events.parquet'
_FORMAT = 'FORMAT parquet, COMPRESSION zstd'


def files(data_dir: pathlib.Path) -> list[pathlib.Path]:
  """The files of past rows, in order."""
  return sorted((data_dir / FOLDER).glob('rows-*.parquet'))


@dataclasses.dataclass(frozen=True)
class Past:
  """The rows before the new ones.

  Attributes:
    base: the data that has them.
    connection: has its tables.
    rows: table of all past rows, keys in the types of the new rows, `row_id`
      below 0.
    first_row: `row_id` of the first new row in prepared data.
    users: table of numbered users; empty if users are numbers.
    boundaries: starts of validation and test of the extended data.
  """

  base: base_lib.Base
  connection: sql.Connection
  rows: str
  first_row: int
  users: str
  boundaries: tuple[int, int]

  def before(self, rows: source.SourceTable) -> source.SourceTable:
    """The new rows after those of the past."""
    new = rows.view
    if rows.open_events:
      # The reader has made the past's open sessions once more.
      new = sql.create_view(
        self.connection,
        'SELECT v.* REPLACE (coalesce(b.number, v.session + 1 +'
        f' (SELECT max(session) FROM {self.rows})) AS session) FROM {new} v'
        ' LEFT JOIN (SELECT k.session, max(p.session) AS number'
        f'  FROM {rows.keys} k JOIN {self.rows} p USING (row_id) GROUP BY ALL)'
        ' b ON v.session = b.session',
      )
    view = sql.create_view(
      self.connection, f'FROM {new} UNION ALL BY NAME FROM {self.rows}'
    )
    return dataclasses.replace(rows, view=view, keys='')


def begin(connection: sql.Connection, base: base_lib.Base) -> int:
  """Checks the files of the past, and makes `pairs.PAST` of a log of events.

  Returns:
    The `row_id` of the first new row in prepared data: none that is taken.

  Raises:
    types.InputError: damaged files, or one that is not there.
  """
  data_dir, manifest = base.directory, base.manifest
  found = files(data_dir)
  if not found:
    raise types.InputError(
      f'{data_dir}: has no {FOLDER}/, which extending needs; prepare it again'
    )
  raw_rows = manifest.report.get('raw_rows')
  if type(raw_rows) is not int:
    raise types.InputError(
      f'{data_dir}: manifest.json: report lacks raw_rows; prepare it again'
    )
  # A value that occurs twice would double the rows that have it, and sums over
  # what is left of the past would be wrong.
  contract.check_vocabularies(data_dir, manifest)
  reading.check_recorded(data_dir, manifest)
  with (
    sql.name_errors(data_dir / FOLDER, 'not readable'),
    sql.scan_files(found, 'parquet') as scan,
  ):
    last = sql.fetch_value(connection, f'SELECT max(row_id) FROM {scan}')
  first_row = max(raw_rows, last + 1)
  _load(
    connection,
    data_dir / FOLDER / _EVENTS,
    f'SELECT * REPLACE (row_id - {first_row} AS row_id)',
    pairs.PAST,
  )
  return first_row


def _load(
  connection: sql.Connection, path: pathlib.Path, select: str, table: str
) -> str:
  """Makes a table of a file's rows; returns its name, '' without the file."""
  if not path.is_file():
    return ''
  with (
    sql.name_errors(path, 'not readable'),
    sql.scan_file(path, 'parquet') as scan,
  ):
    connection.execute(f'CREATE TABLE {table} AS {select} FROM {scan}')
  return table


def read(
  connection: sql.Connection,
  base: base_lib.Base,
  rows: source.SourceTable,
  first_row: int,
  window: time_window.Window,
) -> Past:
  """Reads the past of the data.

  Args:
    rows: the new rows.
    first_row: of `begin`.

  Raises:
    types.InputError: files that can't be read, or have keys of another type;
      rows that don't come after the data.
  """
  folder = base.directory / FOLDER
  kinds = sql.column_types(connection, rows.view)
  columns = [f'row_id - {first_row} AS row_id', 'timestamp']
  columns += map(sql.quote, _labels(rows))
  columns += [
    f'CAST({sql.quote(key)} AS {kinds[key]}) AS {sql.quote(key)}'
    for key in _keys(rows, base.tastes)
  ]
  if rows.user_field:
    columns.append(f'"user" AS {sql.quote(f"f_{rows.user_field}")}')
  # No row of the past is a duplicate.
  columns += [f'hash(row_id) AS {sql.quote(name)}' for name in rows.identity]
  with (
    sql.name_errors(folder, 'not readable with the types of the new rows'),
    sql.scan_files(files(base.directory), 'parquet') as scan,
  ):
    past = sql.create_table(
      connection, f'SELECT {", ".join(columns)} FROM {scan}'
    )
  users = _load(
    connection, folder / _USERS, 'SELECT *', sql.unique_name('users')
  )
  seam = _find_seam(connection, base, rows, past, window)
  boundaries = base.starts[0], seam
  return Past(base, connection, past, first_row, users, boundaries)


def _labels(rows: source.SourceTable) -> list[str]:
  """The columns of the labels that features count."""
  return [
    f'{"t" if task.timed else "y"}_{task.name}'
    for task in source.told(rows.tasks)
  ]


def _keys(rows: source.SourceTable, tastes: Sequence[str]) -> list[str]:
  """The columns of keys and of the fields that `tastes` is made by."""
  keys = ['session'] if rows.has_session else []
  keys += rows.key_columns.values()
  return keys + [f.source_column for f in rows.fields if f.name in tastes]


def _find_seam(
  connection: sql.Connection,
  base: base_lib.Base,
  rows: source.SourceTable,
  past: str,
  window: time_window.Window,
) -> int:
  """Where the data ends and the new rows begin, ms: validation's new end.

  Raises:
    types.InputError: no new row, one before the end of the data, `since`
      before it, or nothing says that labels of its test are known by then.
  """
  latest = ['max(timestamp)']
  latest += [
    f'max({sql.quote(name)})' for name in _labels(rows) if name[0] == 't'
  ]
  delay = max((task.known_after_ms or 0 for task in rows.tasks), default=0)
  last_row, last = sql.fetch_row(
    connection,
    f'SELECT max(timestamp), greatest({", ".join(latest)}, max(timestamp) +'
    f' {delay}) FROM {past}',
  )
  _, end = base.starts
  limit = last_row + 1 if end is None else end
  first, early = sql.fetch_row(
    connection,
    'SELECT min(timestamp), min(row_id) FILTER (WHERE timestamp <'
    f' {limit}) FROM {rows.view}',
  )
  if window.since is None and early is not None:
    rows.table.fail(
      early,
      rows.time_column,
      f'a time from {time_window.shown(limit)} on, where {base.directory}'
      ' ends; --since leaves earlier rows out',
    )
  if first is None:  # events may make no row
    raise types.InputError(f'{rows.table.place}: has no new row to add')
  if end is not None:
    if window.since is not None and window.since < end:
      raise types.InputError(
        f'since: is {time_window.shown(window.since)}, before the end of'
        f' {base.directory}, {time_window.shown(end)} (its until)'
      )
    return end
  found = first if window.since is None else window.since
  if found <= last:
    raise types.InputError(
      f'{base.directory}: has rows or labels up to {time_window.shown(last)},'
      f' and the new rows begin at {time_window.shown(found)}: prepare it with'
      ' --until, so that its test ends'
    )
  return found


def write(
  connection: sql.Connection,
  rows: source.SourceTable,
  placed: str,
  users: str,
  directory: pathlib.Path,
  tastes: Sequence[str],
  past: Past | None = None,
) -> None:
  """Writes DIRECTORY/past of a log, or adds that of its new rows.

  Args:
    placed: table of `row_id` and `session_id` of every row.
    users: table of numbered users; empty if there is none.
    directory: of prepared data; the files of the past are linked there.
    tastes: names of the fields that `tastes` is made by.
    past: the rows before these.
  """
  folder, first_row = directory / FOLDER, past.first_row if past else 0
  folder.mkdir(exist_ok=True)
  lists = {f.source_column for f in rows.fields if f.has_own_lists}
  columns = [f'r.row_id + {first_row} AS row_id', 'r.timestamp']
  for key in _keys(rows, tastes):
    value = f'r.{sql.quote(key)}'
    if key == 'session' and rows.open_events:
      value = 'p.session_id'
    text = sql.value_texts(value) if key in lists else sql.value_text(value)
    columns.append(f'{text} AS {sql.quote(key)}')
  columns += [
    f'CAST(r.{sql.quote(name)} AS {"BIGINT" if name[0] == "t" else "FLOAT"})'
    f' AS {sql.quote(name)}'
    for name in _labels(rows)
  ]
  _copy(
    connection,
    f'SELECT {", ".join(columns)} FROM {rows.view} r'
    f' JOIN {placed} p ON r.row_id = p.row_id WHERE r.row_id >= 0 ORDER BY 1',
    folder / f'rows-{len(files(directory)):05d}.parquet',
  )
  if users:
    query = f'SELECT name, number FROM {users}'
    if past:
      query = f'FROM {past.users} UNION {query}'
    _copy(connection, f'{query} ORDER BY number', folder / _USERS)
  if rows.open_events:
    _copy(
      connection,
      f'SELECT * REPLACE (row_id + {first_row} AS row_id)'
      f' FROM {rows.open_events} ORDER BY row_id',
      folder / _EVENTS,
    )


def _copy(connection: sql.Connection, query: str, path: pathlib.Path) -> None:
  connection.execute(f'COPY ({query}) TO {sql.literal(str(path))} ({_FORMAT})')

"""DATA/past: state of past rows for an extension.

`rows-<n>.parquet` has every row of the log, those too that no split has, in the
order of the extensions that wrote them:

| column | meaning |
|---|---|
| `row_id` | as in prepared data |
| `number`, `start` | the session, as in prepared data, and its start, ms |
| `timestamp` | ms |
| `session` | the log's own session id, if it has some and its rows are no events |
| `user`, `item` | the log's own values, if it has some |
| `by_<field>` | text of the values of the fields that `tastes` is made by, or their lists |
| `y_<i>` | the label of binary task i, then the ranks of others that features read (rmtl_jax.preparation.ranks); NULL where the log has none |
| `t_<i>` | of a task with event times: the time, ms, at which it is known |

`events.parquet`, of a log of events, has the events of sessions that may
continue. `users.parquet` has the numbers of users that are none themselves.
"""  # noqa: E501

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from rmtl_jax import types
from rmtl_jax.data import reading
from rmtl_jax.preparation import (
  contract,
  label_sql,
  sessionize,
  source,
  sql,
  time_window,
)
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
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
    rows: view of all past rows, keys in the types of the new rows, `row_id`
      below 0.
    first_row: `row_id` of the first new row in prepared data.
    next_session: number of the next session.
    users: view of numbered users; empty if users are numbers.
    kinds: DuckDB types of its columns.
    boundaries: starts of validation and test of the extended data, and where
      it is known its end, ms.
  """

  base: base_lib.Base
  connection: sql.Connection
  rows: str
  first_row: int
  next_session: int
  users: str
  kinds: Mapping[str, str]
  boundaries: sessionize.Boundaries

  def seen(self, rows: source.SourceTable) -> str:
    """Makes a view of the past rows that are in a split, for as-of features.

    Its columns are those of `as_of_features._with_keys`. A row has the label
    that is known at the end of its split.
    """
    end = self._split_end()
    columns = ['row_id', 'number AS session_id', 'timestamp']
    columns += [sql.quote(key) for key in rows.key_columns]
    columns += map(sql.quote, map(asof_rates.value_column, self.base.tastes))
    values: dict[str, str] = {}
    for i, task in enumerate(rows.rated_tasks):
      label, time = f'y_{i}', 'NULL::BIGINT'
      if task.timed:
        # An event after the split's end does not count.
        label = f'CASE WHEN t_{i} >= {end} THEN 0 ELSE y_{i} END'
        time = f't_{i}'
      elif task.known_after_ms is not None:
        time = f'timestamp + {task.known_after_ms}'
      if task.only_after and task.after in values:
        label = f'CASE WHEN {values[task.after]} = 1 THEN {label} END'
      values[task.name] = label
      columns += [f'CAST({label} AS BIGINT) AS y_{i}', f'{time} AS t_{i}']
    return sql.create_view(
      self.connection,
      f'SELECT {", ".join(columns)} FROM {self.rows} WHERE timestamp < {end}',
    )

  def shown(self, rows: source.SourceTable) -> str:
    """Makes a table of the items that users of new rows were shown."""
    user = sql.null_if_empty('"user"')
    return sql.create_table(
      self.connection,
      'SELECT number AS session_id, "user", timestamp,'
      f' item AS {sql.quote(rows.item_column)} FROM {self.rows} SEMI JOIN ('
      f' SELECT DISTINCT {user} AS "user" FROM {rows.view}) USING ("user")'
      f' WHERE timestamp < {self._split_end()} AND item IS NOT NULL',
    )

  def _split_end(self) -> str:
    """SQL of the end, ms, of the split that a past row's session starts in."""
    split = sessionize.split_sql('start', self.boundaries)
    return sessionize.split_end_sql(split, self.boundaries)


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
  path = data_dir / FOLDER / _EVENTS
  if path.is_file():
    with (
      sql.name_errors(path, 'not readable'),
      sql.scan_file(path, 'parquet') as scan,
    ):
      connection.execute(
        f'CREATE TABLE {pairs.PAST} AS SELECT'
        f' * REPLACE (row_id - {first_row} AS row_id) FROM {scan}'
      )
  return first_row


@contextlib.contextmanager
def open_past(
  connection: sql.Connection,
  base: base_lib.Base | None,
  rows: source.SourceTable,
  first_row: int,
  window: time_window.Window,
) -> Iterator[Past | None]:
  """Gives the past of the data until the block ends; None without any data.

  Args:
    rows: the new rows.
    first_row: of `begin`.

  Raises:
    types.InputError: files that can't be read, or lack a column; rows that
      don't come after the data.
  """
  if base is None:
    yield None
    return
  data_dir = base.directory
  with contextlib.ExitStack() as stack:
    scan = stack.enter_context(sql.scan_files(files(data_dir), 'parquet'))
    with sql.name_errors(data_dir / FOLDER, 'not readable'):
      known = sql.column_types(connection, scan)
    types_of = sql.column_types(connection, rows.view)
    replaced = [f'row_id - {first_row} AS row_id']
    keys = rows.key_columns
    keys |= {'session': 'session'} if has_session(rows) else {}
    for key in (*keys, *map(asof_rates.value_column, base.tastes)):
      if key not in known:
        raise types.InputError(
          f'{data_dir}: its past has no {key}; prepare it again'
        )
    wanted = {key: types_of[column] for key, column in keys.items()}
    replaced += sql.retyped(known, wanted)
    view = sql.create_view(
      connection, f'SELECT * REPLACE ({", ".join(replaced)}) FROM {scan}'
    )
    users = ''
    path = data_dir / FOLDER / _USERS
    if path.is_file():
      found = stack.enter_context(sql.scan_file(path, 'parquet'))
      with sql.name_errors(path, 'not readable'):
        users = sql.create_view(connection, f'FROM {found}')
    seam = _find_seam(connection, base, rows, view, window)
    number = sql.fetch_value(connection, f'SELECT max(number) FROM {view}')
    yield Past(
      *(base, connection, view, first_row, number + 1, users, known),
      boundaries=(base.starts[0], seam, window.until),
    )


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
  for i, task in enumerate(source.told(rows.tasks)):
    if task.timed:
      latest.append(f'max(t_{i})')
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
    placed: table of `row_id`, `session_id` and `start` of every row.
    users: table of numbered users; empty if there is none.
    directory: of prepared data; the files of the past are linked there.
    tastes: names of the fields that `tastes` is made by.
    past: the rows before these.

  Raises:
    types.InputError: a key of another type than in the past.
  """
  folder, first_row = directory / FOLDER, past.first_row if past else 0
  folder.mkdir(exist_ok=True)
  query = _rows_sql(rows, placed, tastes, past)
  number = len(files(directory))
  where = rows.table.place
  with sql.name_errors(where, 'keys of another type than in the data so far'):
    _copy(
      connection,
      f'{query} ORDER BY row_id',
      folder / f'rows-{number:05d}.parquet',
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


def _rows_sql(
  rows: source.SourceTable,
  placed: str,
  tastes: Sequence[str],
  past: Past | None,
) -> str:
  """SQL of the columns of a file of past rows."""
  first_row = past.first_row if past else 0
  columns = [
    f'r.row_id + {first_row} AS row_id',
    'p.session_id AS number',
    'p.start',
  ]
  columns.append('r.timestamp')
  keys = {'session': 'r.session'} if has_session(rows) else {}
  if rows.has_user:
    keys['user'] = sql.null_if_empty('r."user"')
  if rows.item_column:
    keys['item'] = sql.null_if_empty(f'r.{sql.quote(rows.item_column)}')
  for key, value in keys.items():
    kind = past.kinds[key] if past else ''
    if kind == 'VARCHAR':
      value = sql.value_text(value)  # 118 for 118.0
    elif kind:
      value = f'CAST({value} AS {kind})'
    columns.append(f'{value} AS {sql.quote(key)}')
  columns += asof_tastes.value_columns(rows, tastes)
  tasks = source.told(rows.tasks)
  columns += label_sql.label_and_time_columns(tasks, (None, None), '0')
  small = [f'CAST(y_{i} AS TINYINT) AS y_{i}' for i in range(len(tasks))]
  unwanted = [f't_{i}' for i, task in enumerate(tasks) if not task.timed]
  chosen = f' EXCLUDE ({", ".join(unwanted)})' if unwanted else ''
  chosen += f' REPLACE ({", ".join(small)})' if small else ''
  return (
    f'SELECT *{chosen} FROM (SELECT {", ".join(columns)} FROM {rows.view} r'
    f' JOIN {placed} p ON r.row_id = p.row_id)'
  )


def has_session(rows: source.SourceTable) -> bool:
  """Whether past rows have the log's own session ids."""
  return rows.has_session and not rows.open_events

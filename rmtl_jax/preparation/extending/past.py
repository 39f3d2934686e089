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

`events-<n>.parquet`, of a log of events, the events of sessions that may continue;
the last file counts. `users.parquet` has the numbers of users that are none
themselves.
"""  # noqa: E501

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from collections.abc import Iterator, Mapping, Sequence

from rmtl_jax import types
from rmtl_jax.preparation import label_sql, sessionize, source, sql
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.sources import pairs

FOLDER = 'past'
USERS, EVENTS = 'users.parquet', 'events.parquet'
_FORMAT = 'FORMAT parquet, COMPRESSION zstd'


def check(data_dir: pathlib.Path, extensions: int) -> None:
  """Refuses data that lacks its past.

  Raises:
    types.InputError: names what is missing.
  """
  found = files(data_dir)
  if not found:
    raise types.InputError(
      f'{data_dir}: has no {FOLDER}/, which extending needs; prepare it again'
    )
  # Sums over what is left of them would be wrong.
  names = {path.name for path in found}
  for i in range(1 + extensions):
    if rows_file(i) not in names:
      raise types.InputError(f'{data_dir / FOLDER / rows_file(i)}: not found')


def rows_file(number: int) -> str:
  """The name of the file of past rows of the log, or of an extension."""
  return f'rows-{number:05d}.parquet'


def files(data_dir: pathlib.Path) -> list[pathlib.Path]:
  """The files of past rows, in order."""
  return sorted((data_dir / FOLDER).glob('rows-*.parquet'))


def write(
  connection: sql.Connection,
  rows: source.SourceTable,
  places: sessionize.RowPlaces,
  users: str,
  directory: pathlib.Path,
  tastes: Sequence[str],
) -> None:
  """Writes DIRECTORY/past of a log.

  Args:
    places: of all rows, sessions split by time.
    users: table of numbered users; empty if there is none.
    directory: of prepared data.
    tastes: names of the fields that `tastes` is made by.
  """
  (directory / FOLDER).mkdir()
  write_rows(
    connection,
    rows,
    'p.session_id AS number, p.start',
    f'{places.whole} p ON {places.whole_condition}',
    directory / FOLDER / rows_file(0),
    name=places.session,
    tastes=tastes,
  )
  if users:
    write_users(
      connection, f'SELECT name, number FROM {users}', directory / FOLDER
    )
  if rows.open_events:
    write_events(connection, rows.open_events, directory / FOLDER)


def write_rows(
  connection: sql.Connection,
  rows: source.SourceTable,
  session: str,
  places: str,
  path: pathlib.Path,
  first_row: int = 0,
  kinds: Mapping[str, str] | None = None,
  name: str = 'r.session',
  tastes: Sequence[str] = (),
) -> None:
  """Writes a file of past rows.

  Args:
    session: SQL of `number` and `start`.
    places: SQL that joins to the rows, `r`, what these need.
    first_row: added to `row_id`.
    kinds: DuckDB types of keys, as earlier files have them.
    name: SQL of the log's own session id.
    tastes: names of the fields that `tastes` is made by.

  Raises:
    types.InputError: a key that is none of that type.
  """
  columns = [f'r.row_id + {first_row} AS row_id', session, 'r.timestamp']
  if has_session(rows):
    columns.append(f'{_typed(name, "session", kinds)} AS session')
  if rows.has_user:
    user = sql.null_if_empty('r."user"')
    columns.append(f'{_typed(user, "user", kinds)} AS "user"')
  if rows.item_column:
    item = f'r.{sql.quote(rows.item_column)}'
    if rows.item_column in rows.numbers:
      item = f'CAST({item} AS VARCHAR)'
    item = sql.null_if_empty(item)
    columns.append(f'{_typed(item, "item", kinds)} AS item')
  columns += asof_tastes.value_columns(rows, tastes)
  kept, tasks = list(columns_of_labels(rows)), source.told(rows.tasks)
  made = label_sql.label_and_time_columns(tasks, (None, None), '0')
  unwanted = [n for i, _ in enumerate(tasks) if (n := f't_{i}') not in kept]
  small = ', '.join(
    f'CAST({name} AS TINYINT) AS {name}' for name in kept if name[0] == 'y'
  )
  query = (
    f'SELECT {", ".join((*columns, *made))} FROM {rows.view} r JOIN {places}'
  )
  chosen = f' EXCLUDE ({", ".join(unwanted)})' if unwanted else ''
  chosen += f' REPLACE ({small})' if small else ''
  where = rows.table.place
  with sql.name_errors(where, 'keys of another type than in the data so far'):
    connection.execute(
      f'COPY (SELECT *{chosen} FROM ({query}) ORDER BY row_id)'
      f' TO {sql.literal(str(path))} ({_FORMAT})'
    )


def _typed(value: str, key: str, kinds: Mapping[str, str] | None) -> str:
  if not kinds:
    return value
  if kinds[key] == 'VARCHAR':
    return sql.value_text(value)  # 118 for 118.0
  return f'CAST({value} AS {kinds[key]})'


def has_session(rows: source.SourceTable) -> bool:
  """Whether past rows have the log's own session ids."""
  return rows.has_session and not rows.open_events


def columns_of_labels(rows: source.SourceTable) -> Iterator[str]:
  """Names of the columns of labels in a file of past rows."""
  for i, task in enumerate(source.told(rows.tasks)):
    yield f'y_{i}'
    if task.timed:
      yield f't_{i}'


def write_users(
  connection: sql.Connection, query: str, folder: pathlib.Path
) -> None:
  """Writes `name` and `number` of the users of a query."""
  path = sql.literal(str(folder / USERS))
  connection.execute(f'COPY ({query} ORDER BY number) TO {path} ({_FORMAT})')


def write_events(
  connection: sql.Connection,
  events: str,
  folder: pathlib.Path,
  first_row: int = 0,
) -> None:
  """Writes a table of open events."""
  path = sql.literal(str(folder / EVENTS))
  connection.execute(
    f'COPY (SELECT * REPLACE (row_id + {first_row} AS row_id) FROM {events}'
    ' ORDER BY row_id)'
    f' TO {path} ({_FORMAT})'
  )


@dataclasses.dataclass(frozen=True)
class Past:
  """The rows before the new ones.

  Attributes:
    rows: view of all past rows, keys in the types of the new rows, `row_id`
      below 0.
    first_row: `row_id` of the first new row in prepared data.
    next_session: number of the next session.
    last_row: ms of the last row.
    last: ms after which no row is, and no label becomes known.
    users: view of numbered users; empty if users are numbers.
    kinds: DuckDB types of its columns.
  """

  rows: str
  first_row: int
  next_session: int
  last_row: int
  last: int
  users: str
  kinds: dict[str, str]


def next_row(
  connection: sql.Connection, data_dir: pathlib.Path, raw_rows: int
) -> int:
  """The `row_id` of the first new row: none that is taken.

  Args:
    raw_rows: that it was made of, as far as its readers count them.
  """
  with (
    sql.name_errors(data_dir / FOLDER, 'not readable'),
    sql.scan_files(files(data_dir), 'parquet') as scan,
  ):
    last = sql.fetch_value(connection, f'SELECT max(row_id) FROM {scan}')
  return max(raw_rows, last + 1)


def register_events(
  connection: sql.Connection, data_dir: pathlib.Path, first_row: int
) -> None:
  """Makes `pairs.PAST`, for readers of events; nothing for other logs."""
  path = data_dir / FOLDER / EVENTS
  if path.is_file():
    with (
      sql.name_errors(path, 'not readable'),
      sql.scan_file(path, 'parquet') as scan,
    ):
      connection.execute(
        f'CREATE TABLE {pairs.PAST} AS SELECT'
        f' * REPLACE (row_id - {first_row} AS row_id) FROM {scan}'
      )


@contextlib.contextmanager
def open_past(
  connection: sql.Connection,
  data_dir: pathlib.Path,
  rows: source.SourceTable,
  first_row: int,
  tastes: Sequence[str] = (),
) -> Iterator[Past]:
  """Gives the past of DATA until the block ends.

  Args:
    rows: the new rows, for the types of keys.
    first_row: number of raw rows that DATA was made of.
    tastes: names of the fields that `tastes` is made by.

  Raises:
    types.InputError: files that can't be read, or lack a column.
  """
  with contextlib.ExitStack() as stack:
    scan = stack.enter_context(sql.scan_files(files(data_dir), 'parquet'))
    with sql.name_errors(data_dir / FOLDER, 'not readable'):
      known = sql.column_types(connection, scan)
    types_of = sql.column_types(connection, rows.view)
    replaced = [f'row_id - {first_row} AS row_id']
    keys = rows.key_columns
    keys |= {'session': 'session'} if has_session(rows) else {}
    for key in (*keys, *map(asof_rates.value_column, tastes)):
      if key not in known:
        raise types.InputError(
          f'{data_dir}: its past has no {key}; prepare it again'
        )
    wanted = {key: types_of[column] for key, column in keys.items()}
    replaced += sql.retyped(known, wanted)
    view = sql.create_view(
      connection, f'SELECT * REPLACE ({", ".join(replaced)}) FROM {scan}'
    )
    times = ['timestamp']
    for i, task in enumerate(source.told(rows.tasks)):
      if task.timed:
        times.append(f't_{i}')
    delay = max((task.known_after_ms or 0 for task in rows.tasks), default=0)
    latest = ', '.join(f'max({name})' for name in times)
    number, last_row, last = sql.fetch_row(
      connection,
      f'SELECT max(number), max(timestamp), greatest({latest},'
      f' max(timestamp) + {delay}) FROM {view}',
    )
    users = ''
    path = data_dir / FOLDER / USERS
    if path.is_file():
      found = stack.enter_context(sql.scan_file(path, 'parquet'))
      with sql.name_errors(path, 'not readable'):
        users = sql.create_view(connection, f'FROM {found}')
    yield Past(view, first_row, number + 1, last_row, last, users, known)

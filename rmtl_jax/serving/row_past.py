"""As-of features and sessions of rows to predict for, from a history of rows.

History and rows to predict for form one log, and the SQL of `rmtl prepare` runs
over it: it cuts and sorts sessions, drops the rows that prepared data would
drop, and lets every row see strictly earlier rows. Prior rates, bins and
vocabularies come from the run.
"""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
import tempfile
from collections.abc import Callable, Collection, Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import partial, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import sessionize as sessions
from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.as_of import groups as asof_groups
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.serving import log_columns, past_log, raw_rows, vocabulary_lookup

_BATCH_ROWS = 65_536
_SCRATCH = 'rmtl-predict'
_LOG = past_log.TABLE
# Keys that history and rows may spell in two ways.
KEYS = ('session', 'user')


@dataclasses.dataclass(frozen=True)
class Needs:
  """Inputs of a model from a row's past.

  Attributes:
    fields: its as-of features, as raw columns.
  """

  fields: tuple[source.SourceField, ...]

  def __bool__(self) -> bool:
    return bool(self.fields)

  @property
  def columns(self) -> tuple[str, ...]:
    """The computed columns."""
    return tuple(field.column for field in self.fields)

  def check_absent(
    self, names: Collection[str], path: str, source: str
  ) -> None:
    """Refuses rows that have a column which is computed from a source.

    Raises:
      types.InputError: names the column.
    """
    for name in self.columns:
      if name in names:
        raise types.InputError(
          f'{path}: column {name!r} is there already, and is computed from the'
          f' {source}; leave it out'
        )

  @property
  def groups(self) -> tuple[str, ...]:
    """The groups of the features."""
    return tuple(dict.fromkeys(str(f.details['as_of']) for f in self.fields))

  @property
  def user_history(self) -> bool:
    """Whether it reads more than the row's session."""
    return any(asof_groups.window_of(f) != 'session' for f in self.fields)

  @property
  def users(self) -> bool:
    """Whether it reads earlier rows of the user, and not of the item alone."""
    return any(
      asof_groups.window_of(f) in ('user', 'pair') for f in self.fields
    )

  @property
  def items(self) -> bool:
    """Whether it reads earlier rows of the item, of any user."""
    return any(asof_groups.window_of(f) == 'item' for f in self.fields)

  @property
  def labels(self) -> bool:
    """Whether it reads earlier labels."""
    return any('task' in field.details for field in self.fields)

  @property
  def tastes(self) -> bool:
    """Whether it reads rates by values of fields."""
    return asof_tastes.GROUP in self.groups


class Past:
  """Computes the past of rows to predict for.

  Attributes:
    warnings: lines for a person.
  """

  def __init__(
    self,
    connection: sql.Connection,
    manifest: manifest_lib.Manifest,
    needs: Needs,
  ):
    """Starts with an empty log.

    Raises:
      types.InputError: the manifest does not say how its features were made.
    """
    self.warnings: list[str] = []
    self.connection, self.manifest = connection, manifest
    self._needs, self._log_schema = needs, log_columns.make_log_schema(manifest)
    self._rows = self._earlier = 0
    self._numbers: Collection[str] = KEYS
    self._item = sql.quote(past_log.item_column(self._log_schema))
    past_log.create_table(connection, self._log_schema)

  @property
  def first(self) -> int:
    """`row_id` of the first row to predict for."""
    return self._earlier

  def add(self, table: raw_rows.Rows, scored: bool, size: int) -> None:
    """Adds rows of the history (first), or rows to predict for.

    Raises:
      types.InputError: a column or a value that can't be used.
    """
    past_log.check(
      self._log_schema,
      table.schema,
      table.path,
      needs_user=self._needs.users,
      needs_item=self._needs.user_history,
      needs_labels=self._needs.labels and not scored,
      needs_tastes=self._needs.tastes,
    )
    for chunk in table.chunks(size):
      past_log.append_rows(
        self.connection, self._log_schema, chunk, self._rows, scored
      )
      self._rows += chunk.table.num_rows
    if not scored:
      self._earlier = self._rows

  def start_after(self, rows: int) -> None:
    """Numbers the next rows as if so many rows of a history were there."""
    self._rows = self._earlier = rows

  def keys(self, first: int = 0) -> pa.Table:
    """`row_id`, `session`, `user` and `item` of the rows from `first` on."""
    return self.connection.sql(
      f'SELECT row_id, session, "user", {self._item} AS item FROM {_LOG}'
      f' WHERE row_id >= {first} ORDER BY row_id'
    ).to_arrow_table()

  def add_kept(self, kept: pa.Table, numbers: Collection[str]) -> None:
    """Adds rows of a kept history (kept.py) to the rows to predict for.

    Args:
      kept: rows of its log, of numbers below those of `start_after`.
      numbers: keys of which every value of the whole history is a number.
    """
    sql.insert(self.connection, past_log.TABLE, kept)
    self._numbers = numbers

  def compute(
    self,
    items: vocabulary_lookup.Vocabulary | None,
    tastes: Mapping[str, vocabulary_lookup.Vocabulary] | None = None,
  ) -> None:
    """Computes the past of every row to predict for.

    Args:
      items: the run's vocabulary of items; None if it reads none.
      tastes: those of the fields that `tastes` is made by.

    Raises:
      types.InputError: the manifest does not say how its features were made.
    """
    # History and rows may write one key in two ways (118 and 118.0, as pandas
    # does): they must be equal before anything is grouped by them.
    self._items = items
    for key in KEYS:
      # 118.0 stays text if any value of the whole history is not a number.
      if key in self._numbers:
        self._spell(sql.quote(key), vocabulary_lookup.strip_zero_fractions)
    if items is not None:
      self._spell(self._item, items.spelled)
    columns = past_log.taste_columns(self._log_schema)
    for name, known in (tastes or {}).items():
      many = name in self._log_schema.lists
      self._spell(sql.quote(columns[name]), known.spelled, many)
    # Before sessions are cut: a row that is in both would count as its own
    # past.
    self._drop_repeated()
    if self._log_schema.events is not None:
      again = past_log.gather_events(
        self.connection, self._log_schema, idle_ms(self.manifest)
      )
      if again:
        self.warnings.append(
          f'{again:,} rows to predict for show an item again in its session;'
          ' the data of training has the first impression alone, and here later'
          ' rows count each of them as past: predict for the first alone'
        )
    self._places = self._place()
    joins = self._features()
    if history.GROUP in self._needs.groups:
      joins += self._histories()
    values = ', '.join(sql.quote(column) for column in self._needs.columns)
    self._made = sql.unique_name('made')
    self.connection.execute(
      f'CREATE TABLE {self._made} AS SELECT l.row_id{", " if values else ""}'
      f'{values} FROM {_LOG} l JOIN {self._places.table} p USING (row_id)'
      f' {joins} WHERE l.scored ORDER BY l.row_id'
    )

  def columns(self) -> raw_rows.RowReader:
    """The as-of columns of the rows to predict for, in their order."""
    names = sql.quote_all(self._needs.columns)
    return raw_rows.RowReader(
      self._reader(f'SELECT {names} FROM {self._made} ORDER BY row_id')
    )

  def _reader(self, query: str) -> pa.RecordBatchReader:
    # Its own cursor: a query on the same one would end this result.
    return self.connection.cursor().sql(query).to_arrow_reader(_BATCH_ROWS)

  def _keep(self, name: str, values: pa.Table) -> None:
    """Makes a table of Arrow values, which other cursors see too."""
    self.connection.register('values', values)
    self.connection.execute(f'CREATE TABLE {name} AS FROM values')
    self.connection.unregister('values')

  def _spell(
    self,
    column: str,
    spelled: Callable[[pa.Array], pa.Array | None],
    many: bool = False,
  ) -> None:
    """Rewrites a column's values in one spelling.

    Args:
      column: of the log, in SQL.
      spelled: maps the distinct values to their spelling; None leaves all.
      many: whether the column has lists of values.
    """
    value = f'unnest({column})' if many else column
    given = f'SELECT row_id, {value} AS value FROM {_LOG}'
    distinct = self.connection.sql(
      f'SELECT DISTINCT value FROM ({given}) WHERE value IS NOT NULL'
    ).to_arrow_table()['value']
    values = distinct.combine_chunks()
    written = spelled(values)
    if written is None:
      return
    changed = pc.call_function('not_equal', [written, values])
    others = pa.table({'value': values, 'spelled': written}).filter(changed)
    if len(others):
      table = sql.unique_name('spellings')
      self._keep(table, others)
      found, same = table, f'{column} = s.value'
      if many:
        same = 'l.row_id = s.row_id'
        found = (
          '(SELECT row_id, list(coalesce(o.spelled, g.value)) AS spelled'
          f' FROM ({given}) g LEFT JOIN {table} o USING (value) GROUP BY ALL)'
        )
      self.connection.execute(
        f'UPDATE {_LOG} l SET {column} = s.spelled FROM {found} s WHERE {same}'
      )

  def _drop_repeated(self) -> None:
    """Deletes rows of the history that are rows to predict for too."""
    columns = ('session', '"user"', self._item)
    keys = ', '.join(('timestamp', *columns))
    same = ' AND '.join(
      f'l.{column} IS NOT DISTINCT FROM s.{column}' for column in columns
    )
    if self._log_schema.events is not None:
      same += f' AND {past_log.is_impression(self._log_schema.events)}'
    repeated = sql.fetch_row(
      self.connection,
      f'DELETE FROM {_LOG} l USING (SELECT {keys} FROM {_LOG}'
      ' WHERE scored) s'
      f' WHERE NOT l.scored AND l.timestamp = s.timestamp AND {same}',
    )[0]
    if repeated:
      self.warnings.append(
        f'{repeated:,} rows of the history are rows to predict for; they count'
        ' once'
      )

  def _place(self) -> sessions.RowPlaces:
    rows_of = past_log.source_table(self._log_schema)
    numbered = sessions.number_sessions(
      self.connection,
      past_log.TABLE,
      idle_ms(self.manifest),
      rows_of.session_keys,
      # Duplicates of the history only (see past_log.create_table).
      identity=('same', 'alone'),
    )
    splits = self.manifest.splits
    boundaries = (splits['train'].end_ms, splits['validation'].end_ms)
    return sessions.split_sessions(
      self.connection,
      numbered,
      boundaries=boundaries,
      always=f'n.row_id >= {self._earlier}',
    )

  def _features(self) -> str:
    """SQL that joins all as-of features but histories."""
    groups = tuple(g for g in self._needs.groups if g != history.GROUP)
    if not groups:
      return ''
    made, _ = asof.compute_features(
      self.connection,
      past_log.source_table(self._log_schema),
      self._places,
      asof_groups.recorded_plan(
        self.manifest,
        idle_ms(self.manifest),
        groups,
        self._log_schema.tasks,
      ),
      labelled='r.labelled',
    )
    known = self.connection.execute(f'FROM {made} LIMIT 0').description
    names = {asof_groups.PREFIX + column[0] for column in known}
    renamed = []
    for field in self._needs.fields:
      if field.details['as_of'] == history.GROUP:
        continue
      if field.column not in names:
        raise types.InputError(
          f'field {field.name!r}: no such as-of feature; prepare the data again'
        )
      name = sql.quote(field.column.removeprefix(asof_groups.PREFIX))
      renamed.append(f'{name} AS {sql.quote(field.column)}')
    return (
      f'LEFT JOIN (SELECT row_id, {", ".join(renamed)} FROM {made}) a'
      ' USING (row_id)'
    )

  def _histories(self) -> str:
    """SQL that joins the user's earlier items, as raw values."""
    assert self._items is not None
    shown = {'key': self._items.values, 'id': self._items.values}
    self._keep('shown_items', pa.table(shown))
    field = next(
      f for f in self._needs.fields if f.details['as_of'] == history.GROUP
    )
    view = sql.unique_name('shown')
    self.connection.execute(
      f'CREATE VIEW {view} AS SELECT l.*, p.session_id FROM {_LOG} l'
      f' JOIN {self._places.table} p USING (row_id)'
    )
    found = history.encode_histories(
      self.connection,
      view,
      past_log.item_column(self._log_schema),
      'shown_items',
      field.width,
    )
    return (
      f'LEFT JOIN (SELECT session_id, "user", ids AS {sql.quote(field.column)}'
      f' FROM {found}) h ON p.session_id = h.session_id AND l."user" = h."user"'
    )


@contextlib.contextmanager
def scratch_directory() -> Iterator[pathlib.Path]:
  """Gives a directory until the block ends.

  It is in TMPDIR, readable by its owner alone. Left-overs of killed processes
  are removed.
  """
  target = pathlib.Path(tempfile.gettempdir(), _SCRATCH)
  with partial.staging_directory(target, str(target), mode=0o700) as directory:
    yield directory


@contextlib.contextmanager
def scratch_database(
  memory_limit: str = '',
) -> Iterator[tuple[sql.Connection, pathlib.Path]]:
  """Gives a database that spills, and a directory, until the block ends.

  Raises:
    types.InputError: a memory limit that is malformed or too small.
    KeyboardInterrupt: Ctrl-C arrived while DuckDB worked.
  """
  with (
    scratch_directory() as directory,
    sql.translate_errors(),
    sql.connect(memory_limit, temp_dir=f'{directory}/spill') as connection,
  ):
    yield connection, directory


def idle_ms(manifest: manifest_lib.Manifest) -> int:
  """The longest gap within a session of a run's data, ms.

  Raises:
    types.InputError: the manifest lacks it.
  """
  minutes = manifest.options.get('idle_minutes')
  if not isinstance(minutes, int | float) or not 0 < minutes < 1e7:
    raise types.InputError(
      f'manifest.json: options: idle_minutes is {minutes!r:.80}, expected'
      ' minutes'
    )
  return round(minutes * 60_000)

"""The contract between readers of raw logs and `prepare`.

A reader is a function `read(connection, raw_dir, options) -> SourceTable`. The
raw files are those of the directory `raw_dir`, or that file alone; a missing or
a faulty one raises types.InputError. It leaves a table or view in the connection
with these columns:

| column | type | meaning |
|---|---|---|
| `row_id` | BIGINT | the row of the raw file, from 0; unique |
| `session` | any, may be NULL | the log's own session id |
| `user` | any, may be NULL | who saw the row |
| `timestamp` | BIGINT | ms since 1970, UTC; 0 in a log without a time |
| `split` | TINYINT | if the log has it: 0 train, 1 validation, 2 test |
| `f_<name>` | any | value of a categorical field, NULL if missing |
| `m_<name>` | list | values of a multi-valued field |
| `x_<name>` | DOUBLE | a numeric field, NULL if missing |
| `y_<task>` | DOUBLE | the label, of a binary task 0 or 1, NULL where a nullable task is not observed; the task may have a label time |
| `t_<task>` | BIGINT | ms of the first event that makes the task positive, NULL if none; the alternative to `y_<task>` |
| `v_<column>` | DOUBLE | a column of weights that tasks name |
| `p_<task>` | DOUBLE | true probability (simulated data only) |

A row without a session id belongs to a session of its user: rows with no gap
above the idle time. Without a user or a time it is its own session. Rows of
a session without a time keep the order of the file. Labels given as times are
censored at the end of the row's split. A `y_<task>` of train or validation that
becomes known only at its split's end or later is not observed; a row without
any other is dropped.
"""  # noqa: E501

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rmtl_jax.config import kinds, prepare_settings
from rmtl_jax.preparation import sessionize, sql
from rmtl_jax.preparation.raw import raw_files as raw
from rmtl_jax.preparation.raw import times

TRANSFORMS = ('standard', 'log1p', 'bins')
# Of the names of as-of features.
AS_OF_PREFIX = 'asof_'
# The side of a field that describes neither user nor item, such as the hour.
NO_SIDE = ''
# Of the view's columns, by the kind of their field.
_PREFIXES = {'categorical': 'f', 'multi_valued': 'm', 'numeric': 'x'}


@dataclasses.dataclass(frozen=True)
class SourceField:
  """A feature as its reader declares it.

  Attributes:
    name: the field's name in prepared data.
    kind: 'categorical', 'multi_valued' or 'numeric'.
    column: the raw column, for errors; the name if empty.
    transform: numeric only: `standard` (zero mean, unit deviation), `log1p`
      (`standard` of log(1 + x)) or `bins` (quantile bins: categorical).
    bins: number of quantile bins.
    details: for the manifest. A `side` in it (`item`, `user`, or NO_SIDE) is
      not inferred from the rows (rmtl_jax.preparation.sides).
    vocabulary_owner: multi-valued only: the categorical field that lends its
      vocabulary. The field is then a history of it, which
      rmtl_jax.preparation.as_of.history computes, and the view has no such
      column. Empty for its own vocabulary.
    width: slots of a field that shares a vocabulary.
  """

  name: str
  kind: str
  column: str = ''
  transform: str = ''
  bins: int = 0
  details: dict[str, Any] = dataclasses.field(default_factory=dict)
  vocabulary_owner: str = ''
  width: int = 0

  @property
  def source_column(self) -> str:
    """The field's column in the reader's view."""
    return f'{_PREFIXES[self.kind]}_{self.name}'

  @property
  def encoded_column(self) -> str:
    """The field's column in encoded rows."""
    return f'f_{self.name}' if self.is_binned else self.source_column

  @property
  def owner_column(self) -> str:
    """The column of the field that lends its vocabulary."""
    return f'f_{self.vocabulary_owner}'

  @property
  def is_binned(self) -> bool:
    """Whether the encoded values are bins of a number."""
    return self.transform == 'bins'

  @property
  def is_scaled(self) -> bool:
    """Whether the encoded values are normalised numbers."""
    return self.transform in ('standard', 'log1p')

  @property
  def has_own_lists(self) -> bool:
    """Whether its lists have their own vocabulary."""
    return self.kind == 'multi_valued' and not self.vocabulary_owner


def field_of(column: str, transform: str = 'standard') -> SourceField:
  """A field by its column in the view: `f_hour`, `m_tags`, `x_price`.

  Parts of the time describe neither user nor item.

  Args:
    column: with the prefix of the field's kind.
    transform: of a number.
  """
  prefix, name = column.split('_', 1)
  kind = next(kind for kind, of in _PREFIXES.items() if of == prefix)
  if kind == 'numeric':
    return SourceField(name, kind, transform=transform)
  no_side = {'side': NO_SIDE} if name in times.PARTS else {}
  return SourceField(name, kind, details=no_side)


@dataclasses.dataclass(frozen=True)
class SourceTask:
  """A label as its reader declares it.

  Attributes:
    name: the task.
    after: the task, listed before, that a positive of this one implies.
    column: the raw column, for errors.
    clock: how the raw column writes times of the label, where it does.
    timed: whether the view has `t_<name>` (a time) or `y_<name>` (a label);
      only binary tasks are timed.
    known_after_ms: delay after its row at which a `y_<name>` is known, ms.
      None: unknown; labels count after the idle timeout.
    within_ms: timed only: delay after its row, ms, up to which an event makes
      the row positive, and from which on the label is final. None: any event
      before the split's end does, and every label is final.
    kind: one of kinds.KINDS.
    loss: one of kinds.LOSSES, of that kind.
    settings: (key, value) of the loss's settings that were given.
    levels: of an ordinal label, increasing; () if the log tells.
    positive: texts that are the label 1; if `negative` has none, all others
      are 0. () for 1 and true.
    negative: texts that are the label 0; if `positive` has none, all others
      are 1. () for 0 and false.
    at_least: the number from which on a column of numbers is the label 1; None:
      it is no such column.
    nullable: whether a label may be missing, and then is not observed.
    only_after: whether only the positives of `after` count.
    weights: raw columns; their product is the weight of the row's label.
    negatives_kept: the rate at which negatives of the task were kept in the
      log, in (0, 1]; None: all were. At most one task has it.
    edges: of a number or a level, the values from which on its rank is 1, 2 and
      so on (rmtl_jax.preparation.ranks); () if no feature reads it. None:
      not yet known.
  """

  name: str
  after: str | None = None
  column: str = ''
  clock: times.Time | None = None
  timed: bool = False
  known_after_ms: int | None = None
  within_ms: int | None = None
  kind: str = kinds.BINARY
  loss: str = kinds.losses_of(kinds.BINARY)[0]
  settings: tuple[tuple[str, float], ...] = ()
  levels: tuple[int, ...] = ()
  positive: tuple[str, ...] = ()
  negative: tuple[str, ...] = ()
  at_least: float | None = None
  nullable: bool = False
  only_after: bool = False
  weights: tuple[str, ...] = ()
  negatives_kept: float | None = None
  edges: tuple[float, ...] | None = None

  @property
  def is_ranked(self) -> bool:
    """Whether as-of features count its labels' ranks, and not positives."""
    return self.kind != kinds.BINARY

  @property
  def is_told(self) -> bool:
    """Whether the task names the values of its labels 0 and 1."""
    return bool(self.positive or self.negative) or self.at_least is not None

  @property
  def expected(self) -> str:
    """Allowed labels, for errors."""
    if self.positive or self.negative:
      words = ', '.join(map(repr, (*self.positive, *self.negative)))
      return f'one of {words}'
    if self.at_least is not None:
      return raw.EXPECTED['DOUBLE']
    return kinds.expected(kinds.LOSSES.find(self.loss), self.levels)

  @property
  def may_lack_label(self) -> bool:
    """Whether a row of the log may have no label of the task."""
    return self.nullable or self.only_after

  @property
  def has_label_time(self) -> bool:
    """Whether the time at which a positive becomes known is known."""
    return self.timed or self.known_after_ms is not None

  @property
  def delay_ms(self) -> int:
    """Delay of a `y_<name>` after its row, ms; 0 if unknown."""
    return 0 if self.timed else self.known_after_ms or 0


def delayed(tasks: Sequence[SourceTask]) -> list[SourceTask]:
  """The tasks with labels that become final some time after their row."""
  return [task for task in tasks if task.within_ms is not None]


def fastest(tasks: Sequence[SourceTask]) -> SourceTask:
  """The task with the shortest delay: before it a row has no label at all."""
  return min(tasks, key=lambda task: task.delay_ms)


def with_label_time(tasks: Sequence[SourceTask]) -> list[int]:
  """Places of the tasks with a label time."""
  return [i for i, task in enumerate(tasks) if task.has_label_time]


def binary(tasks: Sequence[SourceTask]) -> tuple[SourceTask, ...]:
  """The tasks with labels of 0 and 1."""
  return tuple(task for task in tasks if task.kind == kinds.BINARY)


def rated(tasks: Sequence[SourceTask]) -> tuple[SourceTask, ...]:
  """The tasks that rates are made of: binary ones, then those with ranks."""
  ranked = (t for t in tasks if t.is_ranked and t.edges != ())
  return (*binary(tasks), *ranked)


def told(tasks: Sequence[SourceTask]) -> tuple[SourceTask, ...]:
  """The tasks of `rated`, without those that lack edges of ranks."""
  return tuple(t for t in rated(tasks) if t.edges or not t.is_ranked)


def with_edges(
  tasks: Sequence[SourceTask], edges: Mapping[str, Sequence[float]]
) -> tuple[SourceTask, ...]:
  """The tasks; of those with ranks, with the edges of their name, or none."""
  return tuple(
    dataclasses.replace(task, edges=tuple(edges.get(task.name, ())))
    if task.is_ranked
    else task
    for task in tasks
  )


@dataclasses.dataclass(frozen=True)
class SourceTable:
  """A reader's result.

  Attributes:
    view: the table or view; see the module's docstring for its columns.
    fields: features, in the networks' order.
    tasks: labels, parents before children.
    keys: a cheaper table or view with `row_id`, `session`, `user`, `timestamp`
      and the columns of `identity`; empty if there is none.
    table: the raw table that `row_id` counts, for errors.
    files: raw files, for the manifest.
    has_session: whether `session` is ever given.
    has_user: whether `user` is ever given.
    has_time: whether `timestamp` is one; a log may have no time.
    has_split: whether the view has `split`. If no row is in validation, part of
      train becomes it.
    any_dates: whether times may lie before the year 2000, in old logs and in
      those that count from their own start.
    time_column: raw column of the time, for errors.
    key_column: raw column of the session or user, for errors.
    user_field: the categorical field that identifies the user.
    item_field: the categorical field that identifies the item.
    item: the view's column of items, where no field has them; empty for none.
    identity: columns of the view; rows of one session and time with equal
      values in them are duplicates. Empty if there can be none.
    has_oracle: whether the view has `p_<task>`.
    dropped: rows that the reader dropped, by reason.
    counts: other figures for the report.
    warnings: lines for the report.
    options: for the manifest, in addition to those of prepare.
    as_of_left_out: as-of features that are not made, and why.
    open_events: of a log of events, the table of those of sessions that may go
      on after it (see sources.pairs); empty for a log of rows.
  """

  view: str
  fields: tuple[SourceField, ...]
  tasks: tuple[SourceTask, ...]
  table: raw.RawTable
  keys: str = ''
  files: tuple[pathlib.Path, ...] = ()
  has_session: bool = False
  has_user: bool = True
  has_time: bool = True
  has_split: bool = False
  any_dates: bool = False
  time_column: str = 'timestamp'
  key_column: str = 'user'
  user_field: str | None = None
  item_field: str | None = None
  item: str = ''
  identity: tuple[str, ...] = ()
  has_oracle: bool = False
  dropped: dict[str, int] = dataclasses.field(default_factory=dict)
  counts: dict[str, int] = dataclasses.field(default_factory=dict)
  warnings: tuple[str, ...] = ()
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  as_of_left_out: dict[str, str] = dataclasses.field(default_factory=dict)
  open_events: str = ''

  @property
  def item_column(self) -> str:
    """The view's column of items; empty for none."""
    return self.item if self.item_field is None else f'f_{self.item_field}'

  @property
  def key_columns(self) -> dict[str, str]:
    """The view's columns of `user` and `item`, of those that the log has."""
    columns = {'user': 'user'} if self.has_user else {}
    return columns | ({'item': self.item_column} if self.item_column else {})

  @property
  def session_keys(self) -> sessionize.Keys:
    """The keys of sessions that the log has."""
    return sessionize.Keys(
      self.has_session, self.has_user, self.has_time, self.has_split
    )

  @property
  def binary_tasks(self) -> tuple[SourceTask, ...]:
    """The tasks with labels of 0 and 1."""
    return binary(self.tasks)

  @property
  def rated_tasks(self) -> tuple[SourceTask, ...]:
    """The tasks with as-of features of labels; see `rated`."""
    return rated(self.tasks)


Reader = Callable[
  [sql.Connection, pathlib.Path, prepare_settings.PrepareConfig],
  SourceTable,
]

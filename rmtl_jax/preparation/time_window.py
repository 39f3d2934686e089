"""The part of a log that is read: rows since a time, and until one."""

from __future__ import annotations

import dataclasses
import datetime

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import source, sql

OUTSIDE = 'outside of since and until'


@dataclasses.dataclass(frozen=True)
class Window:
  """Rows with since <= timestamp < until.

  Attributes:
    since: ms; None for no limit.
    until: ms; None for no limit. Labels that are known only then don't count.
  """

  since: int | None = None
  until: int | None = None

  def __bool__(self) -> bool:
    return self.since is not None or self.until is not None

  @property
  def condition(self) -> str:
    """SQL of whether `timestamp` is inside."""
    limits = []
    if self.since is not None:
      limits.append(f'timestamp >= {self.since}')
    if self.until is not None:
      limits.append(f'timestamp < {self.until}')
    return ' AND '.join(limits) or 'true'


EVERYTHING = Window()


def of(config: prepare_settings.PrepareConfig) -> Window:
  """The window that the settings name.

  Raises:
    types.InputError: no dates, or `since` is not before `until`.
  """
  since, until = (
    parse_time(name, getattr(config, name)) if getattr(config, name) else None
    for name in ('since', 'until')
  )
  if since is not None and until is not None and since >= until:
    raise types.InputError(
      f'since: is {config.since}, expected before until, {config.until}'
    )
  return Window(since, until)


def parse_time(setting: str, text: str) -> int:
  """A date or an ISO time as ms since 1970; UTC unless it names an offset.

  Examples:
    >>> parse_time('since', '1970-01-02')
    86400000

  Args:
    setting: its name, for the error.

  Raises:
    types.InputError: it is none.
  """
  try:
    time = datetime.datetime.fromisoformat(text)
  except ValueError:
    raise types.InputError(
      f'{setting}: {text!r} is not a date such as 2024-05-01 or'
      ' 2024-05-01T12:00'
    ) from None
  if time.tzinfo is None:
    time = time.replace(tzinfo=datetime.UTC)
  return round(time.timestamp() * 1000)


def shown(ms: int) -> str:
  """A time in ISO form, UTC."""
  return datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC).isoformat()


def restrict(
  connection: sql.Connection, rows: source.SourceTable, window: Window
) -> source.SourceTable:
  """Leaves out the rows outside of a window.

  A reader of events leaves out events, so its rows are all inside.

  Raises:
    types.InputError: the log has no time, or no row inside.
  """
  if not window:
    return rows
  if not rows.has_time:
    raise types.InputError(
      'since, until: need a time, and the log has none; leave them out'
    )
  if not sql.any_row(connection, rows.keys or rows.view, window.condition):
    where = rows.table.place
    raise types.InputError(f'{where}: no row lies between since and until')
  if rows.open_events:
    return rows

  def inside(relation: str) -> str:
    return sql.create_view(
      connection, f'FROM {relation} WHERE {window.condition}'
    )

  outside = f'NOT ({window.condition})'
  left = sql.count_rows(connection, rows.keys or rows.view, outside)
  return dataclasses.replace(
    rows,
    view=inside(rows.view),
    keys=inside(rows.keys) if rows.keys else '',
    dropped=rows.dropped | {OUTSIDE: left},
  )

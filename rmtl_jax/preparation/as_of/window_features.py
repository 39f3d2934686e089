"""As-of features that SQL windows compute: counts and times of rows."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence

from rmtl_jax.preparation import source, sql
from rmtl_jax.preparation.as_of import recency as asof_recency

# The rows of a window that are strictly earlier: times are whole ms.
_EARLIER = 'RANGE BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING'
_WINDOWS = {
  'session': 'session_id',
  'pair': '"user", item',
  'user': '"user"',
  'item': 'item',
}


@dataclasses.dataclass(frozen=True)
class Feature:
  """A feature that an SQL window function computes.

  Attributes:
    name: of the field, without `asof_`.
    group: one of prepare_settings.AS_OF.
    window: one of _WINDOWS.
    what: `rows` (how many are earlier), `last` (ms since the last of them) or
      `first` (ms since the first).
  """

  name: str
  group: str
  window: str
  what: str

  @property
  def sql(self) -> str:
    """SQL of the value over rows with places, time and keys."""
    order = f'PARTITION BY {_WINDOWS[self.window]} ORDER BY timestamp'
    # Rows of one time share a rank, so the rank counts strictly earlier rows.
    # `first_value` may be a row of the same time; its distance is 0 then, which
    # means that nothing is earlier.
    if self.what == 'rows':
      value = f'nullif(rank() OVER ({order}) - 1, 0)'
    elif self.what == 'first':
      value = f'nullif(timestamp - first_value(timestamp) OVER ({order}), 0)'
    else:
      value = f'timestamp - last_value(timestamp) OVER ({order} {_EARLIER})'
    known = ' AND '.join(
      f'{k} IS NOT NULL' for k in _WINDOWS[self.window].split(', ')
    )
    return f'CAST(CASE WHEN {known} THEN {value} END AS DOUBLE)'


_FEATURES = (
  Feature('gap', 'gap', 'session', 'last'),
  Feature('position', 'position', 'session', 'rows'),
  Feature('session_age', 'position', 'session', 'first'),
  Feature('views', 'views', 'pair', 'rows'),
  Feature('view_gap', 'views', 'pair', 'last'),
  Feature('user_rows', 'counts', 'user', 'rows'),
  Feature('item_rows', 'counts', 'item', 'rows'),
  Feature('user_gap', asof_recency.GROUP, 'user', 'last'),
)


def features_of(
  rows: source.SourceTable, groups: Collection[str]
) -> list[Feature]:
  """The features of groups, of the keys that the log has."""
  lacking = {'user', 'item'} - {*rows.key_columns}
  return [f for f in _FEATURES if f.group in groups and f.window not in lacking]


def features_sql(keyed: str, features: Sequence[Feature]) -> str:
  """SQL of `row_id` and a DOUBLE per feature.

  Args:
    keyed: table of rows with `row_id`, `session_id`, `timestamp` and the keys.
  """
  values = ', '.join(f'{f.sql} AS {sql.quote(f.name)}' for f in features)
  return f'SELECT row_id, {values} FROM {keyed}'


def named(name: str) -> Feature | None:
  """The feature with a name (without `asof_`); None if none has."""
  return next((f for f in _FEATURES if f.name == name), None)

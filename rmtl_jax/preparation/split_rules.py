"""How a log is split: the rule, and the splits that are not by ratio of time.

Sessions are never cut by a draw: `random` draws sessions, `user` users with all
their sessions. A split that the log itself has (`given`) cuts them.
"""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import sessionize, source, sql, time_window

# Names of `split_by` under which the log itself says the split.
_GIVEN = ('column', 'files', 'source')

# Part of train that becomes validation where a log brings only a test split:
# the last sessions, or drawn ones where there is no time.
VALIDATION_SHARE = 0.1


@dataclasses.dataclass(frozen=True)
class SplitRule:
  """How rows get their split.

  Attributes:
    by: one of prepare_settings.SplitBy, but `auto`; `rolling` where new rows
      become the test of prepared data.
    ratio: parts of the rows for train, validation and test (`time`, `random`,
      `user`).
    boundaries: where validation and test start, ms (`dates`).
    seed: of what is drawn.
    has_time: whether rows have a time.
  """

  by: str
  ratio: tuple[int, ...] = ()
  boundaries: tuple[int, int] | None = None
  seed: int = 0
  has_time: bool = True

  @property
  def by_time(self) -> bool:
    """Whether splits follow each other in time."""
    return self.by in ('time', 'dates', 'rolling')

  @property
  def is_given(self) -> bool:
    """Whether the log has each row's split."""
    return self.by in _GIVEN

  @property
  def carried(self) -> tuple[str, ...]:
    """Columns of a reader's rows that the split of a session depends on."""
    if self.is_given:
      return ('split',)
    return ('user',) if self.by == 'user' else ()

  @property
  def words(self) -> str:
    """How rows are split, to end the sentence `cannot be split ...`."""
    ratio = ':'.join(map(str, self.ratio))
    return {
      'time': f'{ratio} by session start',
      'dates': 'at split_dates',
      'random': f'{ratio} by sessions at random',
      'user': f'{ratio} by users at random',
      'column': 'by split_column',
      'files': 'by files',
      'source': 'as the source has it',
    }[self.by]

  def record(self) -> dict[str, Any]:
    """Its entries in the manifest's options."""
    found: dict[str, Any] = {'split_by': self.by}
    if self.ratio:
      found['split'] = list(self.ratio)
    if self.boundaries is not None:
      found['split_dates'] = list(map(time_window.shown, self.boundaries))
    if not self.by_time:
      found['seed'] = self.seed
    return found


def find_rule(
  rows: source.SourceTable, config: prepare_settings.PrepareConfig
) -> SplitRule:
  """The rule that the settings ask for, or that suits the log.

  Raises:
    types.InputError: the log lacks what the rule needs.
  """
  by = config.split_by
  if by == 'auto':
    by = _suiting(rows, config)
  lack = {
    'time': '' if rows.has_time else 'a time',
    'dates': '' if rows.has_time else 'a time',
    'user': '' if rows.has_user else 'a column of users',
    **dict.fromkeys(_GIVEN, '' if rows.has_split else 'splits'),
  }.get(by)
  if lack:
    raise types.InputError(
      f'split_by: {by!r} needs {lack}, and the log has none'
    )
  return SplitRule(
    by,
    ratio=config.split if by in ('time', 'random', 'user') else (),
    boundaries=parse_dates(config.split_dates) if by == 'dates' else None,
    seed=config.seed,
    has_time=rows.has_time,
  )


def _suiting(
  rows: source.SourceTable, config: prepare_settings.PrepareConfig
) -> str:
  """The way to split that `auto` takes."""
  for by in ('dates', 'column', 'files'):
    if prepare_settings.split_setting(config, by):
      return by
  if rows.has_split:
    return 'source'
  return 'time' if rows.has_time else 'random'


def parse_dates(dates: tuple[str, ...]) -> tuple[int, int]:
  """The two boundaries, ms, of `split_dates`.

  Raises:
    types.InputError: not two increasing dates.
  """
  if len(dates) != 2:
    raise types.InputError(
      f'split_dates: {",".join(dates)!r} is not two dates: where validation and'
      ' test start'
    )
  first, second = (
    time_window.parse_time('split_dates', date) for date in dates
  )
  if first >= second:
    raise types.InputError(
      f'split_dates: validation starts at {dates[0]}, expected before test, at'
      f' {dates[1]}'
    )
  return first, second


def split_sessions(
  connection: sql.Connection,
  numbered: sessionize.NumberedRows,
  rule: SplitRule,
  end: int | None = None,
  delay_ms: int = 0,
) -> sessionize.RowPlaces:
  """Assigns sessions to splits by a rule that is not `by_time`.

  Sessions, or users, stand in the order of a hash of the seed and of what
  identifies them: a session's first `row_id`, or the user as text. As many
  come into train as reach its part of the rows, then into validation. A split
  that the log gives stays; without validation rows, as many of the last
  sessions of train (of one start, or without a time, drawn ones) as hold
  a tenth of its rows become validation.

  Args:
    numbered: from `sessions.number_sessions`, with what the rule carries.
    end: of the log, ms, which all splits have; None for none.
    delay_ms: as for `sessions.split_sessions`.
  """
  listed = sessionize.session_list(numbered, *rule.carried)
  found = sql.create_table(connection, f'FROM {listed}')
  if rule.is_given:
    split = _given(connection, found, rule)
  else:
    split = _drawn(connection, found, rule)
  ordered = sql.create_table(
    connection,
    'SELECT session_number, start, first, rows, CAST(split AS TINYINT) AS split'
    f' FROM {split} ORDER BY split, start, session_number',
  )
  sql.drop_tables(connection, found)
  ordered = sessionize.add_session_ids(connection, ordered)
  places = sessionize.place_rows(
    connection, numbered, ordered, delay_ms, boundaries=(end, end, end)
  )
  # Sessions of one split stand by start: where starts rise over all, splits
  # follow each other in time.
  spans = connection.execute(
    f'SELECT min(start), max(start) FROM {ordered} GROUP BY split'
    ' ORDER BY split'
  ).fetchall()
  in_order = all(
    last <= first for (_, last), (first, _) in itertools.pairwise(spans)
  )
  sql.drop_tables(connection, ordered)
  rate_keys = places.rate_keys
  if not in_order:
    rate_keys = _whole_keys(connection, numbered, rule)
  return dataclasses.replace(places, by_time=False, rate_keys=rate_keys)


def _whole_keys(
  connection: sql.Connection, numbered: sessionize.NumberedRows, rule: SplitRule
) -> tuple[str, ...]:
  """`user` if all rows of each user are in one split.

  A session goes where its first row's user goes; it may have further users.
  """
  if rule.by != 'user':
    return ()
  is_mixed = sql.any_row(
    connection,
    '(SELECT count(DISTINCT "user") > 1 OR count("user") NOT IN (0, count(*))'
    f' AS mixed FROM {numbered.table} GROUP BY session_number)',
    'mixed',
  )
  return () if is_mixed else ('user',)


def _hashed(rule: SplitRule, key: str) -> str:
  """SQL of the place of a key (SQL of text) in the drawn order."""
  return f"md5('{rule.seed}:' || {key})"


def _drawn(connection: sql.Connection, found: str, rule: SplitRule) -> str:
  """SQL of the sessions with a drawn `split`."""
  # A session without a user is drawn alone.
  key = 'CAST(row_id AS VARCHAR)'
  if rule.by == 'user':
    key = f"""coalesce('u' || CAST("user" AS VARCHAR), {key})"""
  total = f'(SELECT sum(rows)::BIGINT AS total FROM {found})'
  reached = (rule.ratio[0], rule.ratio[0] + rule.ratio[1])
  # In whole numbers, as sessions.find_boundaries has it.
  split = ' + '.join(
    f'CAST(before * {sum(rule.ratio)} >= {part} * total AS INTEGER)'
    for part in reached
  )
  drawn = _with_before(
    connection,
    f'(SELECT {key} AS key, sum(rows) AS rows FROM {found} GROUP BY ALL)',
    f'{_hashed(rule, "key")}, key',
  )
  return (
    f'(SELECT s.*, {split} AS split'
    f' FROM (SELECT *, {key} AS key FROM {found}) s'
    f' JOIN (SELECT key, before FROM {drawn}) USING (key), {total})'
  )


def _with_before(connection: sql.Connection, found: str, order: str) -> str:
  """Makes a table of a relation in an order, with the `rows` `before`."""
  ordered = sql.create_table(connection, f'FROM {found} ORDER BY {order}')
  return sessionize.add_session_ids(connection, ordered)


def _given(connection: sql.Connection, found: str, rule: SplitRule) -> str:
  """SQL of the sessions with the log's `split`, validation filled."""
  if sql.any_row(connection, found, 'split = 1'):
    return found
  # Of one start drawn ones: a file may have them in the order of anything.
  order = f'{_hashed(rule, "CAST(row_id AS VARCHAR)")}, row_id'
  if rule.has_time:
    order = f'start, {order}'
  return (
    '(SELECT * REPLACE (CASE WHEN split = 0 AND total - before - rows <'
    f' total * {VALIDATION_SHARE} THEN 1 ELSE split END AS split)'
    f' FROM {_with_before(connection, found, "split, " + order)},'
    f' (SELECT sum(rows) AS total FROM {found} WHERE split = 0))'
  )

"""Which columns are user, item and session, by names and by rows."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import key_names, number_names, time_names
from rmtl_jax.preparation.guess import sample as sample_lib

# Least share of sessions with one user, of ids that are unique over the log.
_NESTED = 0.99
# Of a user, an item or a session: so few values with so many rows each are
# none, such as the kinds of a device or the number of a visit. Nor is a user
# what has one value in most rows, such as the device that stands for all
# unknown ones.
_FEW_VALUES, _MANY_ROWS, _MOST_OF_ONE = 10, 100, 0.5
# Of an item that is counted within something else, such as an episode.
_MOST_COUNTED = 20
# Most of half of the rows, of a count that is named like a kind of items.
_USUAL_COUNT = 3
# Most rows that may lack a session of a column that is named like one, and
# that may lack a user where others that are named so have one.
_WITHOUT_SESSION, _WITHOUT_USER = 0.5, 0.05
# Of a key that only rows tell of: least values, rows of a value, and share of
# rows that follow a row of the same value, of those that could; most of all
# rows that one value may have.
_LEAST_VALUES, _ROWS_OF_VALUE, _CONTIGUOUS = 20, (2.0, 1000.0), 0.8
_MOST_SHARE = 0.1
# Of a choice among alternatives, or another session that no name tells: most
# rows of a value on average, least share of rows together, and most runs of
# rows per value.
_ROWS_OF_SESSION, _TOGETHER, _RUNS = 50.0, 0.98, 1.05


class Key(NamedTuple):
  """A column that identifies something.

  Attributes:
    column: its name.
    why: it was taken.
  """

  column: str
  why: str


def find(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  named: Mapping[str, Key],
  time: str | None,
  times: Collection[str] = (),
) -> dict[str, Key]:
  """The columns of `user`, `item` and `session` that there are.

  Args:
    named: `by_names` of these.
    time: column of the rows' time, or None; cuts a user's rows to sessions
      where no column has them.
    times: columns of times, which are keys by name alone.
  """
  found = {**named}
  if time and 'user' not in found:
    found |= _user_by_id(facts, found)
  if 'session' in found:
    return found
  taken = {*times, *(key.column for key in found.values())}
  # A key that lacks in a row is refused, and here no name says that one is.
  filled = [one for one in facts if one.filled == one.rows]
  together = stand_together(filled, taken)
  if session := _session_by_rows(sample, together, found, time):
    found['session'] = session
    if 'user' not in found:
      users = _user_by_id(facts, found)
      if _one_each(sample, session.column, users.get('user')) >= _NESTED:
        found |= users
  elif together and 'user' not in found:
    found['user'] = _user_by_rows(together)
  return found


def by_names(
  sample: sample_lib.Sample, facts: Sequence[facts_lib.Facts]
) -> dict[str, Key]:
  """Those of which names tell."""
  found: dict[str, Key] = {}
  for role in ('user', 'session', 'item'):
    named = [
      (
        role == 'user' and one.missing > _WITHOUT_USER,
        place,
        -one.distinct,
        one,
      )
      for one in facts
      if (place := key_names.rank(one.name, role)) is not None
      and _fits(one, role)
    ]
    fitting = [one for *_, one in sorted(named, key=lambda entry: entry[:3])]
    if role == 'session':
      fitting = [
        one
        for one in fitting
        if _one_each(sample, one.name, found.get('user')) >= _NESTED
      ]
    if role == 'item':
      fitting = _not_of_session(sample, fitting, found.get('session'))
    # Of whom nobody knows may be counted how often a campaign called.
    if role == 'item' and not {'user', 'session'} & {*found}:
      fitting = [one for one in fitting if not _may_be_count(one)]
    if not fitting:
      continue
    one = fitting[0]
    why = f'named like {"an" if role == "item" else "a"} {role}'
    if role == 'session':
      why += f', {rows_each(one)}'
      why += ', of one user each' if 'user' in found else ''
    found[role] = Key(one.name, why)
  return found


def varied(
  facts: facts_lib.Facts,
  keys: Mapping[str, Key],
  roles: Collection[str],
  value: str = '',
) -> dict[str, float | None]:
  """The share of keys with several rows that have several values, by role.

  None where no key has several rows; `value` is SQL, of the column if empty.
  """
  found, sample = {}, facts.sample
  value = value or sample.column(facts.name)
  for role in roles:
    if role in keys:
      key = sample.column(keys[role].column)
      found[role] = sample.connection.execute(
        'SELECT avg(CAST(n > 1 AS INT)) FROM (SELECT count(DISTINCT'
        f' {value}) AS n FROM {sample.table} WHERE {key} IS NOT NULL'
        f' GROUP BY {key} HAVING count(*) > 1)'
      ).fetchall()[0][0]
  return found


def _may_be_count(facts: facts_lib.Facts) -> bool:
  """Whether an item that its name leaves open may be a count."""
  is_small = facts.kind == 'number' and 0 <= facts.least <= 1
  is_sure = key_names.is_sure_key(facts.name, 'item')
  return is_small and facts.median <= _USUAL_COUNT and not is_sure


def refused(facts: Sequence[facts_lib.Facts]) -> dict[str, str]:
  """Why columns that are named like a user are none, where one value is why."""
  found = {}
  for one in facts:
    named = key_names.rank(one.name, 'user') is not None
    if not (named and one.is_key and one.distinct > 1):
      continue
    share = _share_of_one(one)
    if share > _MOST_OF_ONE:
      found[one.name] = f'no user, as {share:.0%} of the rows have one value'
  return found


def _not_of_session(
  sample: sample_lib.Sample,
  items: Sequence[facts_lib.Facts],
  session: Key | None,
) -> Sequence[facts_lib.Facts]:
  """Without those that are one in every session, such as the page; else all."""
  if session is None or len(items) < 2:
    return items
  several = [
    one
    for one in items
    if _one_each(sample, session.column, Key(one.name, '')) < _NESTED
  ]
  return several or items


def _fits(facts: facts_lib.Facts, role: str) -> bool:
  """Whether a column's values can be of a role."""
  if facts.distinct < 2 or facts.is_binary:
    return False
  if facts.kind == 'number' and number_names.is_number_of_mails(facts.name):
    return False
  # An id may have a point in it, as those of Google Analytics.
  is_text = facts.sample.kinds[facts.sample.names.index(facts.name)] == 'text'
  pointed = (
    facts.kind == 'number' and is_text and key_names.ends_in_id(facts.name)
  )
  if not (facts.is_key or pointed):
    return False
  if facts.sample.is_whole and facts.distinct == facts.rows:
    return False
  rows = facts.filled / facts.distinct
  few = facts.distinct < _FEW_VALUES and rows > _MANY_ROWS
  if role == 'session':
    # A sample has blocks of rows, which some sessions fill.
    comes_back = facts.distinct < facts.filled
    # A number on an order or on the page.
    is_order = key_names.rank(facts.name, role) != 0
    many = rows > _ROWS_OF_SESSION
    is_id = number_names.measure(facts.name) == 'code'
    # Blocks of a sample are of few sessions each.
    is_few = few and not is_id and rows > facts.sample.longest_block
    return (
      comes_back
      and not is_few
      and facts.missing <= _WITHOUT_SESSION
      and not (is_order and many)
    )
  if few and not key_names.is_sure_key(facts.name, role):
    return False
  is_counted = facts.kind == 'number' and number_names.is_counted(facts.name)
  if is_counted and facts.distinct <= _MOST_COUNTED:
    return False
  return role == 'item' or _share_of_one(facts) <= _MOST_OF_ONE


def _share_of_one(facts: facts_lib.Facts) -> float:
  """The share of rows with the most frequent value."""
  value = facts.text
  most = facts.sample.fetch(
    'count(*) AS n',
    f'WHERE {value} IS NOT NULL GROUP BY {value} ORDER BY n DESC LIMIT 1',
  )
  return most[0][0] / facts.rows


def rows_each(facts: facts_lib.Facts) -> str:
  """How many rows a value has on average, in words."""
  return f'{facts.filled / facts.distinct:.1f} rows each'


def _one_each(
  sample: sample_lib.Sample, session: str, key: Key | None
) -> float:
  """The share of a column's sessions with one value of a key; 1 without any."""
  if key is None:
    return 1.0
  value = sample.given(session)
  return sample.connection.execute(
    f'SELECT avg(CAST(n <= 1 AS INT)) FROM (SELECT count(DISTINCT'
    f' {sample.given(key.column)}) AS n FROM {sample.table}'
    f' WHERE {value} IS NOT NULL GROUP BY {value})'
  ).fetchall()[0][0]


def _user_by_id(
  facts: Sequence[facts_lib.Facts], found: Mapping[str, Key]
) -> dict[str, Key]:
  """The user: an id that comes back, and no name says of what; or nothing."""
  taken = {key.column for key in found.values()}
  for one in facts:
    if one.name not in taken and is_id_that_comes_back(one):
      why = (
        f'an id that comes back, {rows_each(one)}, and no name says user: who'
        ' or what rows are about'
      )
      return {'user': Key(one.name, why)}
  return {}


class Together(NamedTuple):
  """A column whose values' rows stand together in the file.

  Attributes:
    facts: of the column.
    share: of rows that follow one of the same value, of those that could.
    runs: of rows with one value.
  """

  facts: facts_lib.Facts
  share: float
  runs: int


def comes_back(facts: facts_lib.Facts, low: float = _ROWS_OF_VALUE[0]) -> bool:
  """Whether a column's values may be of somebody who has several rows.

  Args:
    low: least rows of a value on average.
  """
  high = _ROWS_OF_VALUE[1]
  return (
    facts.is_key
    and facts.distinct >= _LEAST_VALUES
    and low <= facts.filled / facts.distinct <= high
    and not time_names.is_nearly_time(facts.name)
    and not time_names.is_year(facts.name)
  )


def is_id_that_comes_back(facts: facts_lib.Facts) -> bool:
  """Whether a column is an id of who or what has several rows."""
  return key_names.is_bare_id(facts.name) and comes_back(facts)


def stand_together(
  facts: Sequence[facts_lib.Facts], taken: Collection[str]
) -> list[Together]:
  """Columns whose values' rows stand together, the most values first."""
  found = []
  for one in facts:
    if one.name not in taken and comes_back(one):
      sample, value = one.sample, one.sample.column(one.name)
      runs, most = sample.connection.execute(
        f'SELECT count(*) FILTER ({value} IS DISTINCT FROM before),'
        f' max(rows) FROM (SELECT {value}, count(*) OVER (PARTITION BY {value})'
        f' AS rows, lag({value}) OVER (ORDER BY {sample_lib.ORDER}) AS before'
        f' FROM {sample.table})'
      ).fetchall()[0]
      share = (one.rows - runs) / (one.rows - one.distinct)
      if share >= _CONTIGUOUS and most <= _MOST_SHARE * one.rows:
        found.append(Together(one, share, runs))
  return sorted(found, key=lambda one: -one.facts.distinct)


def _user_by_rows(together: Sequence[Together]) -> Key:
  facts, share, _ = together[0]
  return Key(
    facts.name,
    f'no name says user or session; {rows_each(facts)}, which stand together'
    f' in the file ({share:.0%}); it may be the session',
  )


def _session_by_rows(
  sample: sample_lib.Sample,
  together: Sequence[Together],
  found: Mapping[str, Key],
  time: str | None,
) -> Key | None:
  """The column whose values' few rows stand together and never come again.

  No split must cut such rows: of a choice among alternatives those in train
  tell the others' labels. A column that is no finer than the user describes
  the user. Where rows have a time, those of a value have the same one.
  """
  user = found.get('user')
  at_once = Key(time, '') if time else None
  users = 0
  if user:
    users = sample.fetch(f'count(DISTINCT {sample.column(user.column)})')[0][0]
  for facts, share, runs in together:
    if (
      facts.filled <= _ROWS_OF_SESSION * facts.distinct
      and share >= _TOGETHER
      and runs <= _RUNS * facts.distinct
      and facts.distinct > users
      and number_names.measure(facts.name) != 'amount'
      and _one_each(sample, facts.name, user) >= _NESTED
      and _one_each(sample, facts.name, at_once) >= _NESTED
    ):
      who = 'session' if user else 'user or session'
      return Key(
        facts.name,
        f'no name says {who}; {rows_each(facts)}, which stand together in the'
        f' file ({share:.0%}) and do not come back: taken for a session, such'
        ' as a choice among alternatives, which no split may cut',
      )
  return None

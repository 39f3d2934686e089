"""Logs in memory, their as-of features, and those by plain loops."""

from __future__ import annotations

import math
import pathlib
from typing import NamedTuple

import duckdb

from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import sessionize, source
from rmtl_jax.preparation.as_of import as_of_features as asof
from rmtl_jax.preparation.raw import raw_files as raw

IDLE_MS = 60_000
WEIGHT, WEIGHT_SESSION = 10, 5
KEYS = ('user', 'item')
FIELDS = ('item', 'brand', 'tags')
CONFIG = prepare_settings.PrepareConfig(as_of=('all',), idle_minutes=1)


class Row(NamedTuple):
  """A row of a log; times in ms, `click` is when the click came."""

  session: int | None
  user: str | None
  item: str | None
  time: int
  label: int = 0
  click: int | None = None
  brand: str | None = None
  tags: tuple[str, ...] | None = None
  spent: float | None = None


def features(
  rows: list[Row],
  boundaries: tuple[int | None, int | None] = (None, None),
  config: prepare_settings.PrepareConfig = CONFIG,
  known_after: int | None = None,
  keys: tuple[str, ...] = KEYS,
  more: tuple[source.SourceTask, ...] = (),
) -> list[dict[str, float | None]]:
  """The values before they are cut at quantiles, by row; two tasks and more.

  Likes are known so many ms after their row, or nobody says when. The log says
  that it has no other keys than these.
  """
  with duckdb.connect() as connection:
    connection.execute('SET threads = 1')
    connection.execute(
      'CREATE TABLE log (row_id BIGINT, session BIGINT, "user" VARCHAR,'
      ' f_item VARCHAR, timestamp BIGINT, y_like DOUBLE, t_click BIGINT,'
      ' f_brand VARCHAR, m_tags VARCHAR[], y_spent DOUBLE)'
    )
    connection.executemany(
      'INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
      [
        (i, *row[:-2], row.tags and list(row.tags), row.spent)
        for i, row in enumerate(rows)
      ],
    )
    numbered = sessionize.number_sessions(
      connection, 'log', IDLE_MS, sessionize.Keys(session=True)
    )
    table = source.SourceTable(
      view='log',
      fields=tuple(
        source.SourceField(n, 'multi_valued' if n == 'tags' else 'categorical')
        for n in FIELDS
      ),
      tasks=(
        source.SourceTask('like', known_after_ms=known_after),
        source.SourceTask('click', timed=True),
        *more,
      ),
      table=raw.RawTable('log', (raw.RawFile(pathlib.Path('log'), 0, 1),)),
      has_session=True,
      has_user='user' in keys,
      item_field='item' if 'item' in keys else None,
    )
    places = _place(connection, numbered, boundaries)
    found = asof.add_features(connection, table, places, config)
    names = [
      f.name
      for f in found.fields
      if f.name.startswith('asof_') and f.kind == 'numeric'
    ]
    columns = ', '.join(f'"x_{name}"' for name in names)
    values = connection.execute(
      f'SELECT {columns} FROM {found.view} ORDER BY row_id'
    ).fetchall()
  names = [name.removeprefix('asof_') for name in names]
  return [dict(zip(names, value, strict=True)) for value in values]


def _place(connection, numbered, boundaries):
  """Splits at given times, which other rows cannot move."""
  first, second = (math.inf if b is None else b for b in boundaries)
  split = f"(start >= '{first}'::DOUBLE)::INT + (start >= '{second}'::DOUBLE)"
  connection.execute(
    'CREATE TABLE places AS SELECT row_id, session_number AS session_id, 0 AS'
    f' step, 0 AS position, {split}::INT AS split, timestamp FROM (SELECT *,'
    ' min(timestamp) OVER (PARTITION BY session_number) AS start'
    f' FROM {numbered.table})'
  )
  connection.execute(
    'CREATE VIEW kept AS SELECT * EXCLUDE timestamp FROM places'
    f' WHERE timestamp < {sessionize.split_end_sql("split", boundaries)}'
  )
  return sessionize.RowPlaces('kept', boundaries, (), (), (), seen='kept')


class _Placed(NamedTuple):
  """A kept row; when its like and its click are known, None if never."""

  row: Row
  session: int
  split: int
  like: float | None
  click: float | None


def reference(
  rows: list[Row],
  boundaries: tuple[int | None, int | None] = (None, None),
  known_after: int | None = None,
  keys: tuple[str, ...] = KEYS,
) -> list[dict[str, float | None]]:
  """The same by loops over all pairs of rows; {} where a row is not kept."""
  ends = [math.inf if b is None else b for b in (*boundaries, None)]
  places: dict[int, _Placed] = {}
  for members in _sessions(rows):
    start = rows[members[0]].time
    split = (start >= ends[0]) + (start >= ends[1])
    for i in members:
      row = rows[i]
      if row.time < ends[split]:
        like = row.time + (known_after or 0) if row.label else None
        known = row.click is not None and row.click < ends[split]
        click = row.click if known else None
        places[i] = _Placed(row, members[0], split, like, click)
  train = [p for p in places.values() if p.split == 0]
  known_before = {'like': ends[0] - (known_after or 0), 'click': ends[0]}
  rates = {}
  for task, end in known_before.items():
    known = [getattr(p, task) for p in train if p.row.time < end]
    rates[task] = sum(k is not None for k in known) / max(len(known), 1)
  told = ('click',) if known_after is None else ('like', 'click')
  every = list(places.values())
  tastes = _tastes(rows) if 'user' in keys else []
  tastes = [name for name in tastes if name not in keys]
  return [
    _of_row(places[i], every, rates, keys, tastes)
    | (_recency(places[i], every, told) if 'user' in keys else {})
    | _feedback(places[i], every, rates, told)
    if i in places
    else {}
    for i in range(len(rows))
  ]


def _sessions(rows):
  """Row numbers of every session, in order of time."""
  owners: dict[tuple[str, int | str | None], list[int]] = {}
  for i, row in enumerate(rows):
    given = row.session is not None
    owner = ('session', row.session) if given else ('user', row.user)
    owners.setdefault(owner, []).append(i)
  found = []
  for (kind, _), members in owners.items():
    members.sort(key=lambda i: (rows[i].time, i))
    for before, i in zip([None, *members], members, strict=False):
      pause = before is not None and rows[i].time - rows[before].time > IDLE_MS
      if before is None or (kind == 'user' and pause):
        found.append([])
      found[-1].append(i)
  return found


def _tastes(rows):
  """Fields with several values of a user, most first."""
  means = {}
  for name in FIELDS:
    given = {}
    for row in rows:
      value = getattr(row, name)
      if name == 'tags':
        value = tuple(sorted(_tags(row))) or None
      given.setdefault(row.user, []).append(value)
    several = [
      {*values} - {None}
      for user, values in given.items()
      if user and len(values) > 1
    ]
    mean = sum(map(len, several)) / max(len(several), 1)
    if len(set().union(*several)) >= 3 and mean >= 1.5:
      means[name] = mean
  return sorted(means, key=lambda name: -means[name])


def _tags(row):
  tags = set(row.tags or ())
  return tags if len(tags) <= 10 else set()


def _of_row(me, places, rates, keys, tastes):
  time = me.row.time
  past = [p for p in places if p.row.time < time]
  session = [p for p in past if p.session == me.session]
  found = {
    'gap': _since(time, session, max),
    'position': len(session) or None,
    'session_age': _since(time, session, min),
  }
  same = {
    key: [
      p for p in past if getattr(p.row, key) == getattr(me.row, key) is not None
    ]
    for key in keys
  }
  if keys == KEYS:
    pairs = [p for p in same['user'] if p in same['item']]
    found |= {'views': len(pairs) or None, 'view_gap': _since(time, pairs, max)}
  found |= {f'{key}_rows': len(rows) or None for key, rows in same.items()}
  rated = {f'{key}_{{}}_rate': rows for key, rows in same.items()}
  for name in tastes:
    if name == 'tags':
      rated['user_{}_rate_by_tags'] = [
        p for p in same['user'] for _ in _tags(p.row) & _tags(me.row)
      ]
      continue
    mine = getattr(me.row, name)
    rated[f'user_{{}}_rate_by_{name}'] = [
      p for p in same['user'] if getattr(p.row, name) == mine is not None
    ]
  for name, rows in rated.items():
    known = [
      p for p in rows if p.session != me.session and _rested(p, places, time)
    ]
    for task in rates:
      positives = sum(_known(p, task, time) for p in known)
      rate = (positives + WEIGHT * rates[task]) / (len(known) + WEIGHT)
      found[name.format(task)] = rate if known else None
  return found


def _recency(me, places, told):
  time = me.row.time
  past = [
    p
    for p in places
    if p.row.user == me.row.user is not None and p.row.time < time
  ]
  found = {'user_gap': _since(time, past, max)}
  for task in told:
    # Nobody knows a click before its row.
    known = [
      max(getattr(p, task), p.row.time) for p in past if _known(p, task, time)
    ]
    found[f'user_{task}_gap'] = time - max(known) if known else None
  return found


def _feedback(me, places, rates, told):
  time = me.row.time
  session = [p for p in places if p.session == me.session]
  past = [p for p in session if p.row.time < time]
  found = dict.fromkeys(
    f'session_{t}{end}' for t in told for end in ('s', '_rate')
  )
  found |= dict.fromkeys(f'since_{t}' for t in told)
  for task in told if past else ():
    positives = [p for p in past if _known(p, task, time)]
    found[f'session_{task}s'] = len(positives)
    found[f'session_{task}_rate'] = (
      len(positives) + WEIGHT_SESSION * rates[task]
    ) / (len(past) + WEIGHT_SESSION)
    if positives:
      last = max(p.row.time for p in positives)
      found[f'since_{task}'] = sum(p.row.time >= last for p in past)
  return found


def _known(one, task, time):
  """Whether the row is a positive that was known before `time`."""
  known = getattr(one, task)
  return known is not None and known < time


def _since(time, rows, which):
  return time - which(p.row.time for p in rows) if rows else None


def _rested(one, places, time):
  """Whether, by `time`, the row's session had paused for the idle time."""
  times = sorted(
    {
      p.row.time
      for p in places
      if p.session == one.session and one.row.time <= p.row.time < time
    }
  )
  pauses = zip(times, [*times[1:], time], strict=True)
  return any(after - before > IDLE_MS for before, after in pauses)

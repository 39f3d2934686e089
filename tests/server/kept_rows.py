"""What a state holds, after checks that it fits together."""

from __future__ import annotations

import collections
import contextlib
import json
import pathlib
import sqlite3
import urllib.parse

import redis


def times(place):
  """Times of the rows in a state, after checks of all of it."""
  if '://' in place:
    return _times_in_redis(place)
  directory = pathlib.Path(place)
  with contextlib.closing(
    sqlite3.connect(directory / 'state.sqlite')
  ) as connection:
    assert connection.execute('PRAGMA integrity_check').fetchall() == [('ok',)]
    rows = connection.execute('SELECT time, item, open FROM events').fetchall()
    for level in range(4):
      counted = connection.execute(
        'SELECT sum(n) FROM counters WHERE level = ? AND key LIKE'
        " 'item:rows:%'",
        (level,),
      ).fetchone()[0]
      assert counted == len(rows)
    closed = connection.execute(
      'SELECT coalesce(sum(n), 0) FROM counters WHERE level = 0 AND key LIKE'
      " 'item:n:%'"
    ).fetchone()[0]
    assert closed == sum(not is_open for _, _, is_open in rows)
  return [time // 1000 for time, _, _ in rows]


def _times_in_redis(place):
  parts = urllib.parse.urlsplit(place)
  client = redis.Redis(unix_socket_path=parts.path, decode_responses=True)
  prefix = f'rmtl:{urllib.parse.parse_qs(parts.query)["log"][0]}:'
  events = [json.loads(one) for one in client.hvals(prefix + 'events')]
  counted = collections.Counter()
  for key in client.scan_iter(prefix + 'counts:item:*'):
    for field, number in client.hgetall(key).items():
      what, block = field.split(':')
      counted[what, (int(block) + 2**49) >> 50] += int(number)
  open_ = [
    number
    for key in client.scan_iter(prefix + 'open:item:*')
    for number in client.smembers(key)
  ]
  assert [counted['rows', level] for level in range(4)] == 4 * [len(events)]
  assert counted['n', 0] == len(events) - len(open_)
  visits = {int(n) for n in client.hkeys(prefix + 'visits')}
  assert {event[1] for event in events} == visits
  identities = client.hvals(prefix + 'identities')
  assert sorted(map(int, identities)) == sorted(event[0] for event in events)
  assert int(client.hget(prefix + 'facts', 'events')) == len(events)
  client.close()
  return [event[4] // 1000 for event in events]

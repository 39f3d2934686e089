"""What runs within Redis, each script as a whole, and the keys that it finds.

All keys begin with the state's prefix:

- `facts`: JSON by name, with the last numbers of `events` and `visits`;
- `lock`: who changes the state;
- `events`, `visits`: JSON by number (records.Event, records.Visit);
- `identities`: numbers of events;
- `visit:N`: numbers of a visit's events; `owner:O`: visits by first time;
- `open`: visits by last time, those that are not in the counters of rates;
  `open:user:U`, `open:item:I`: events of these;
- `shown:U`: items of a user by time; `pair:U:I`: events of both by time;
- `counts:user:U`, `counts:item:I`: numbers by what is counted and the block;
  `blocks:...`: its blocks in order; `dates:user:U:rows`, `dates:user:U:k0`:
  times that have, or had, some of what is counted.

Answers are JSON texts, put together from those that are kept: Lua's numbers
would lose digits, so that these stay texts too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import redis

_COMMON = """
local p = KEYS[1]
local function list(parts)
  return '[' .. table.concat(parts, ',') .. ']'
end
local function many(name, ids)
  local found = {}
  for i = 1, #ids, 1000 do
    local last = math.min(i + 999, #ids)
    local part = redis.call('HMGET', p .. name, unpack(ids, i, last))
    for n = 1, last - i + 1 do
      found[#found + 1] = part[n] or 'null'
    end
  end
  return found
end
local function wholes(ids)
  local found = many('visits', ids)
  for i, id in ipairs(ids) do
    local events = redis.call('LRANGE', p .. 'visit:' .. id, 0, -1)
    found[i] = '[' .. found[i] .. ',' .. list(many('events', events)) .. ']'
  end
  return list(found)
end
"""

# Takes the lock, and reads what rows to add may need.
BEGIN = (
  _COMMON
  + """
local lock = p .. 'lock'
if redis.call('GET', lock) ~= ARGV[1] and
    not redis.call('SET', lock, ARGV[1], 'NX', 'PX', ARGV[2]) then
  return false
end
local asked = cjson.decode(ARGV[3])
local known = many('identities', asked.identities)
local ids, owners = {}, {}
for _, id in ipairs(known) do
  if id ~= 'null' then ids[#ids + 1] = id end
end
for i, one in ipairs(asked.owners) do
  local key = p .. 'owner:' .. one[1]
  local found
  if one[2] == '' then
    found = redis.call('ZRANGE', key, 0, -1)
  else
    found = redis.call(
      'ZREVRANGEBYSCORE', key, one[2], '-inf', 'LIMIT', 0, 3)
    local more = redis.call('ZRANGEBYSCORE', key, '(' .. one[2], one[3])
    for _, id in ipairs(more) do found[#found + 1] = id end
  end
  owners[i] = list(many('visits', found))
end
return {redis.call('HGETALL', p .. 'facts'), list(known),
        list(many('events', ids)), list(owners)}
"""
)

# Does all of a change, if its writer still has the lock.
COMMIT = """
if redis.call('GET', KEYS[1] .. 'lock') ~= ARGV[1] then return 0 end
for _, command in ipairs(cjson.decode(ARGV[2])) do
  redis.call(unpack(command))
end
redis.call('DEL', KEYS[1] .. 'lock')
return 1
"""

# Visits with their events, by number.
WHOLES = _COMMON + 'return wholes(ARGV)'

# Open visits whose last row is earlier.
RESTED = (
  _COMMON
  + """
return wholes(redis.call('ZRANGEBYSCORE', p .. 'open', '-inf', '(' .. ARGV[1],
                         'LIMIT', 0, ARGV[2]))
"""
)

# What rows to predict for may need.
LOOK = (
  _COMMON
  + """
local asked = cjson.decode(ARGV[1])
local sessions, near, counts, open, dates, pairs_ = {}, {}, {}, {}, {}, {}
for i, owner in ipairs(asked.sessions) do
  sessions[i] = wholes(redis.call('ZRANGE', p .. 'owner:' .. owner, 0, -1))
end
for i, one in ipairs(asked.near) do
  near[i] = wholes(redis.call(
    'ZREVRANGEBYSCORE', p .. 'owner:' .. one[1], one[2], '-inf', 'LIMIT', 0, 2))
end
for i, one in ipairs(asked.counts) do
  local sums = {}
  for w = 1, #asked.names do sums[w] = 0 end
  for _, range in ipairs(asked.ranges[tonumber(one[2])]) do
    local blocks = redis.call(
      'ZRANGEBYSCORE', p .. 'blocks:' .. one[1], range[1], range[2])
    for w, name in ipairs(#blocks > 0 and asked.names or {}) do
      local fields = {}
      for b, block in ipairs(blocks) do fields[b] = name .. ':' .. block end
      for _, n in ipairs(many('counts:' .. one[1], fields)) do
        if n ~= 'null' then sums[w] = sums[w] + tonumber(n) end
      end
    end
  end
  for w, sum in ipairs(sums) do sums[w] = string.format('%.0f', sum) end
  counts[i] = list(sums)
end
for i, key in ipairs(asked.open) do
  local events = many('events', redis.call('SMEMBERS', p .. 'open:' .. key))
  local seen, ids = {}, {}
  for _, event in ipairs(events) do
    local visit = string.match(event, '^%[%d+,(%d+),')
    if not seen[visit] then
      seen[visit] = true
      ids[#ids + 1] = visit
    end
  end
  open[i] = '[' .. list(events) .. ',' .. list(many('visits', ids)) .. ']'
end
for i, one in ipairs(asked.users) do
  local last = {}
  for w, name in ipairs(asked.dated) do
    local key, start = p .. 'dates:' .. one[1] .. ':' .. name, 0
    while not last[w] do
      local time = redis.call('ZREVRANGEBYSCORE', key, '(' .. one[2], '-inf',
                              'LIMIT', start, 1)[1]
      local n = time and redis.call('HGET', p .. 'counts:' .. one[1],
                                    name .. ':' .. time)
      if not time then
        last[w] = 'null'
      elseif n and tonumber(n) > 0 then
        last[w] = time
      end
      start = start + 1
    end
  end
  dates[i] = list(last)
end
for i, one in ipairs(asked.pairs) do
  local key, before = p .. 'pair:' .. one[1], '(' .. one[2]
  local last = redis.call(
    'ZREVRANGEBYSCORE', key, before, '-inf', 'WITHSCORES', 'LIMIT', 0, 1)
  pairs_[i] = '[' .. redis.call('ZCOUNT', key, '-inf', before) .. ',' ..
    (last[2] or 'null') .. ']'
end
return {list(sessions), list(near), list(counts), list(open), list(dates),
        list(pairs_)}
"""
)


class Scripts:
  """Runs the scripts, and reads what one or two commands find.

  Attributes:
    prefix: of all keys.
  """

  def __init__(self, client: redis.Redis, prefix: str):
    """Runs nothing yet."""
    self.prefix, self._client = prefix, client
    texts = (BEGIN, COMMIT, WHOLES, RESTED, LOOK)
    self._made = {text: client.register_script(text) for text in texts}

  def run(self, script: str, *values: Any) -> Any:
    """The answer of a script of this module."""
    return self._made[script](keys=[self.prefix], args=values)

  def wholes(self, visits: Sequence[int]) -> str:
    """Visits with their events, by number: JSON."""
    return self.run(WHOLES, *visits)

  def rested(self, time: int, most: int) -> str:
    """The visits of `stores.Change.rested`, with their events: JSON."""
    return self.run(RESTED, time, most)

  def visits(self, owner: str) -> list[Any]:
    """All visits of an owner, as JSON's values."""
    ids: Any = self._client.zrange(f'{self.prefix}owner:{owner}', 0, -1)
    return [visit for visit, _ in json.loads(self.wholes(ids))]

  def event(self, identity: bytes) -> Any:
    """The event with an identity, as JSON's values; None if there is none."""
    number: Any = self._client.hget(self.prefix + 'identities', identity.hex())
    if number is None:
      return None
    found: Any = self._client.hget(self.prefix + 'events', number.decode())
    return json.loads(found)

  def shown(self, user: str, before: int, start: int, most: int) -> Any:
    """A page of a user's items before a time, as `shown:U` has them."""
    key = f'{self.prefix}shown:{user}'
    return self._client.zrevrangebyscore(key, f'({before}', '-inf', start, most)

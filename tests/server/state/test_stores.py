"""What is true of every store, and of a Redis that is not always there."""

from __future__ import annotations

import collections
import contextlib
import itertools
import logging
import threading
import time
from concurrent import futures

import pyarrow as pa
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.preparation import source
from rmtl_jax.server import bodies
from rmtl_jax.server.state import (
  changes,
  records,
  redis_store,
  redis_url,
  sqlite,
  stores,
)
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.server.state import state as state_lib
from rmtl_jax.serving import rows as rows_lib
from tests.server import client as client_lib
from tests.server import kept_rows, redis_server
from tests.serving import past_run

LABELS = ['clicked', 'bought']
PASSWORD = 'sw0rdfish'


@pytest.fixture(scope='module')
def scorer(past_model):
  return rmtl_jax.load(past_model, warm_up=0)


@pytest.fixture(scope='module')
def raw():
  return past_run.log(700, seed=3).slice(0, 690).sort_by('time')


@contextlib.contextmanager
def keeping(scorer, place):
  keeper = keeper_lib.Keeper(scorer, place)
  keeper.take_up(scorer)
  with contextlib.closing(keeper):
    yield keeper


@pytest.fixture
def store(scorer, redis, request):
  place = redis.url(request.node.name)
  with (
    keeping(scorer, place),
    contextlib.closing(redis_store.Store(place)) as found,
  ):
    yield found


def looked_up(keeper, scorer, raw):
  rows = raw.drop_columns(LABELS)
  return keeper.look_up(scorer, rows_lib.rows_of_table(rows))[0].to_pylist()


def test_writers_at_once_lose_nothing(scorer, place, raw, tmp_path):
  """Each with connections of its own, as processes have."""
  parts = [raw.slice(start, 20) for start in range(0, 400, 20)]

  def write(mine):
    with keeping(scorer, place) as keeper:
      return [keeper.append(scorer, [part])[0] for part in mine]

  with futures.ThreadPoolExecutor(4) as pool:
    found = list(pool.map(write, [parts[n::4] for n in range(4)]))
  assert found == [[{'added': 20}] * 5] * 4
  with (
    keeping(scorer, place) as keeper,
    keeping(scorer, str(tmp_path / 'other')) as other,
  ):
    # All at once: the order matters to nothing but rows after a split's end.
    other.append(scorer, [raw.slice(0, 400)])
    assert keeper.size() == other.size()
    asked = raw.slice(400, 40)
    assert looked_up(keeper, scorer, asked) == looked_up(other, scorer, asked)


def test_a_new_store_is_opened_by_several_at_once(tmp_path):
  for n in range(20):
    start = threading.Barrier(4)

    def open_stores(place, start=start):
      start.wait()
      for store in stores.open_stores(place):
        store.close()

    with futures.ThreadPoolExecutor(4) as pool:
      list(pool.map(open_stores, [str(tmp_path / str(n))] * 4))


def test_a_file_of_the_version_before_goes_on(tmp_path):
  known = records.Event(1, 1, 'a', 'x', 5, [[1, None]])
  with contextlib.closing(sqlite.Store(tmp_path)) as store:
    store.add_event(known, b'one')
    for statement in (
      'ALTER TABLE events DROP COLUMN tastes',
      'PRAGMA user_version = 4',
    ):
      store._connection.execute(statement)
  with contextlib.closing(sqlite.Store(tmp_path)) as store:
    assert store.find_event(b'one') == known._replace(values=[])
    new = known._replace(id=2, values=['b', None])
    store.add_event(new, b'two')
    assert store.find_event(b'two') == new
  with contextlib.closing(sqlite.Store(tmp_path)) as store:
    store._connection.execute('PRAGMA user_version = 3')
  with pytest.raises(types.InputError, match='of version 3, expected 5; name'):
    sqlite.Store(tmp_path)


def test_only_its_owner_can_read_a_state(tmp_path):
  tmp_path.chmod(0o755)
  store, other = stores.open_stores(str(tmp_path))
  with store.writing(records.Asked()) as change:
    change.put_fact('mine', 1)
  files = list(tmp_path.glob('state.sqlite*'))
  assert len(files) == 3
  assert not any(file.stat().st_mode & 0o077 for file in files)
  store.close()
  other.close()


def test_reading_ahead_changes_nothing(scorer, redis, raw):
  places = [redis.url(f'ahead-{n}') for n in range(2)]
  found = []
  for ahead, place in enumerate(places):
    with keeping(scorer, place) as keeper:
      table = raw.slice(0, 300)
      (rows,) = keeper._readers[id(scorer)].shown([table])
      counts = collections.Counter()
      # From both ends, so that visits join and come out of the counters.
      order = [n for at in range(150) for n in (at, 299 - at)]
      for start in range(0, 300, 30):
        some = [rows[n] for n in order[start : start + 30]]
        some += [row._replace(labels=rows[0].labels) for row in some[:4]]
        asked = keeper._shape.asked(some if ahead else ())
        with keeper._writes.writing(asked) as change:
          counts += changes.append(change, keeper._shape, some)
      found.append((counts, looked_up(keeper, scorer, raw.slice(300, 40))))
  assert found[0] == found[1]


def test_odd_names_are_kept_apart(scorer, place):
  """Names that keys, JSON, Lua or order might spoil."""
  names = [
    'a',
    'a:b',
    'b',
    '1:a',
    'é',
    '😀',
    'a"\\\\',
    'a\0',
    'a\0' + '1',
    '0' * 99,
  ]
  rows = [
    records.Row(
      None, user, item, 10**12 + at % 3, ((1, None), (0, None)), bytes([at])
    )
    for at, (user, item) in enumerate(itertools.product(names, names))
  ]
  later = [row._replace(time=10**12 + 60_000) for row in rows]
  with keeping(scorer, place) as keeper:
    asked = keeper._shape.asked
    with keeper._writes.writing(asked(rows)) as change:
      changes.append(change, keeper._shape, rows)
    with keeper._reads.reading(asked(later)) as reads:
      look = state_lib.Look(reads, keeper._shape)
      for user in names:
        mine = sorted(
          ((row.time, row.item.encode()) for row in rows if row.user == user),
          reverse=True,
        )
        assert list(look.shown(user, later[0].time)) == [
          item.decode() for _, item in mine
        ]
      for row, before in zip(later, rows, strict=True):
        assert look.rows(row, 'user') == look.rows(row, 'item') == len(names)
        assert look.pair(row) == (1, before.time)
        assert look.rate(row, 'item', 0) == (0, 0)
        assert len(look.session(row).events) == len(names)


def test_long_values_of_a_field_are_stored_once(tmp_path):
  tasks = (source.SourceTask('click'),)
  shape = state_lib.Shape(tasks, 1000, (None, None), (), tastes=('brand',))
  store = sqlite.Store(tmp_path)
  long = 10**5 * 'b'
  shown = [('x', long, 1), ('y', long + 'c', 0), ('z', long, 0)]
  rows = [
    records.Row(
      None, 'u', item, 9000 * i, [(label, None)], b'%d' % i, None, (b,)
    )
    for i, (item, b, label) in enumerate(shown)
  ]
  last = records.Row(None, 'u', 'a', 10**6, values=(long,))
  with store.writing(shape.asked(rows)) as change:
    changes.append(change, shape, [*rows, last._replace(labels=[(0, None)])])
  assert store._rows('SELECT max(length(key)) FROM counters')[0][0] < 100
  with store.reading(shape.asked([last])) as reads:
    look = state_lib.Look(reads, shape)
    assert look.rate(last, 'by_brand', 0) == (1, 2)
  store.close()


def test_open_rows_of_a_user_are_read_once_for_all_values(tmp_path):
  tasks = (source.SourceTask('click'),)
  shape = state_lib.Shape(tasks, 1000, (None, None), (), tastes=('brand',))
  store = sqlite.Store(tmp_path)
  shown = [
    records.Row('s', 'u', 'a', i, [(1, None)], b'%d' % i, values=(f'b{i % 5}',))
    for i in range(10)
  ]
  asked = [
    records.Row('t', 'u', 'a', 5000, values=(f'b{i}',)) for i in range(6)
  ]
  with store.writing(shape.asked(shown)) as change:
    changes.append(change, shape, shown)
  with store.reading(shape.asked(asked)) as reads:
    calls = []
    found = reads.open_events
    reads.open_events = lambda *of: calls.append(of) or found(*of)
    look = state_lib.Look(reads, shape)
    rates = [look.rate(row, 'by_brand', 0) for row in asked]
  assert rates == [(2, 2)] * 5 + [(0, 0)]
  assert calls == [('user', 'u')]
  store.close()


def test_whoever_lost_the_lock_commits_nothing(store):
  with (
    pytest.raises(store.errors, match='others went on'),
    store.writing(records.Asked()) as change,
  ):
    change.put_fact('mine', 1)
    store._client.set(store._prefix + 'lock', 'another')
  store._client.delete(store._prefix + 'lock')
  with store.writing(records.Asked()) as change:
    assert change.fact('mine') is None


def test_the_lock_of_a_killed_writer_ends(store):
  store._client.set(store._prefix + 'lock', 'killed', px=200)
  begun = time.monotonic()
  with store.writing(records.Asked()) as change:
    change.put_fact('mine', 1)
  assert time.monotonic() - begun > 0.1
  assert store._client.get(store._prefix + 'lock') is None


def test_a_redis_that_ends_and_comes_back(past_model, raw, caplog):
  if redis_server.PROGRAM is None:
    pytest.skip(redis_server.REASON)
  caplog.set_level(logging.DEBUG)
  rows = raw.to_pylist()
  asked = raw.slice(60, 1).drop_columns(LABELS).to_pylist()
  said = []
  with (
    contextlib.closing(redis_server.Redis('--requirepass', PASSWORD)) as redis,
    client_lib.serving(past_model, state=redis.url(user=f':{PASSWORD}@')) as (
      client,
      own,
    ),
  ):
    own._say = said.append
    for row in rows[:50]:
      assert client.post('/v1/events', json=[row]).status_code == 200
    before = client.post('/v1/predict', json=asked)
    redis.kill()
    for path, body in (('/v1/predict', asked), ('/v1/events', rows[50:51])):
      answer = client.post(path, json=body)
      assert answer.status_code == 503
      assert answer.json() == {'error': 'state: not available; try again later'}
      said.append(answer.text)
    assert client.get('/v1/model').status_code == 503
    assert client.get('/health').status_code == 200
    redis.start()
    assert client.get('/v1/model').json()['state'] == {'rows': 50}
    assert client.post('/v1/predict', json=asked).json() == before.json()
    answer = client.post('/v1/events', json=rows[30:60])
    assert answer.json() == {'rows': 30, 'repeated': 20, 'added': 10}
  assert 'state unix:///' in caplog.text
  assert PASSWORD not in caplog.text + str(said) + repr(own.settings)


def test_a_redis_that_is_killed_has_all_that_was_acknowledged(scorer, raw):
  if redis_server.PROGRAM is None:
    pytest.skip(redis_server.REASON)
  rows = [raw.slice(at, 1) for at in range(690)]
  # Times tell rows apart; they are far before the ends of splits.
  at = raw.schema.get_field_index('time')
  rows = [
    row.set_column(at, 'time', pa.array([10**9 + 40 * n]))
    for n, row in enumerate(rows)
  ]
  kept, asked, refused = [], [], []
  ended = threading.Event()
  with (
    contextlib.closing(redis_server.Redis()) as redis,
    keeping(scorer, redis.url()) as keeper,
  ):

    def post():
      for row in rows:
        if ended.is_set():
          return
        asked.append(row['time'][0].as_py())
        try:
          keeper.append(scorer, [row])
          kept.append(asked[-1])
        except bodies.Refused as error:
          refused.append(error.status)

    thread = threading.Thread(target=post)
    thread.start()
    for count in (10, 20, 30):
      while len(kept) < count and thread.is_alive():
        time.sleep(0.001)
      if count < 30:
        redis.kill()
        redis.start()
    ended.set()
    thread.join()
    found = kept_rows.times(redis.url())
  assert {*refused} <= {503}
  assert len(found) == len({*found})
  assert {*kept} <= {*found} <= {*asked}
  assert len(kept) >= 30


def test_redis_that_can_not_be_used(scorer, tmp_path):
  if redis_server.PROGRAM is None:
    pytest.skip(redis_server.REASON)
  with contextlib.closing(
    redis_server.Redis(
      *('--requirepass', PASSWORD, '--maxmemory', '64mb'),
      *('--maxmemory-policy', 'allkeys-lru'),
    )
  ) as redis:
    for user, text in (
      (f':{PASSWORD}@', 'maxmemory-policy allkeys-lru'),
      (f':{PASSWORD}2@', 'not usable: .*'),
      ('', 'not usable: .*'),
    ):
      with pytest.raises(types.InputError, match=text) as error:
        keeper_lib.Keeper(scorer, redis.url(user=user))
      assert PASSWORD not in str(error.value)
      assert '\n' not in str(error.value)
  place = f'unix://:{PASSWORD}@{tmp_path}/none'
  with pytest.raises(types.InputError, match='not usable') as error:
    keeper_lib.Keeper(scorer, place)
  assert PASSWORD not in str(error.value)


@pytest.mark.parametrize(
  ('url', 'prefix', 'shown'),
  [
    ('redis://h', 'rmtl:log:', 'redis://h/0?log=log'),
    ('redis://u:p%40x@h:7/2?log=shop', 'rmtl:shop:', 'redis://h:7/2?log=shop'),
    ('rediss://:p@[::1]:7', 'rmtl:log:', 'rediss://[::1]:7/0?log=log'),
    ('unix://:p@/a/b?db=3', 'rmtl:log:', 'unix:///a/b?db=3&log=log'),
  ],
)
def test_urls(url, prefix, shown):
  place = redis_url.read(url)
  assert (place.prefix, place.shown) == (prefix, shown)
  if url.startswith('redis://u'):
    options = {'host': 'h', 'port': 7, 'db': 2, 'ssl': False}
    assert place.options == options | {'username': 'u', 'password': 'p@x'}


@pytest.mark.parametrize(
  'url',
  [
    'redis://',
    'redis://u:p/secret@h',
    'redis://u:1/secret@h',
    'redis://u:1?secret@h',
    'redis://u:1#secret@h',
    'redis://h/secret',
    'redis://h/0?secret=1',
    'rediss://h/0?ssl_cert_reqs=none&x=secret',
    'redis://h/0?log=a:secret',
    'unix://secret',
    'http://secret',
  ],
)
def test_urls_with_faults_are_not_repeated(url):
  with pytest.raises(types.InputError, match='expected a directory') as error:
    stores.check(url)
  assert 'secret' not in str(error.value)

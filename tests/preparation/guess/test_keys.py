"""Users, items and sessions, by names and by rows."""

import pytest

from rmtl_jax.preparation.guess import events, keys
from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import sample as sample_lib
from tests.preparation.guess import logs

N = 400


def _find(sample, facts, time, times=()):
  named = keys.by_names(sample, facts)
  return keys.find(sample, facts, named, time, times)


def _keys(tmp_path, has_time=True, **columns):
  if has_time:
    rows = len(next(iter(columns.values())))
    columns = {'shown_at': range(rows), **columns}
  times = ['shown_at'] if has_time else []
  sample, facts = logs.sample_of(tmp_path, columns)
  found = _find(sample, facts, 'shown_at' if has_time else None, times)
  return {role: key.column for role, key in found.items()}


def test_names_of_keys(tmp_path):
  found = _keys(
    tmp_path,
    user_active_degree=[i % 7 for i in range(N)],
    campaign=[i % 20 for i in range(N)],
    adId=[i % 80 for i in range(N)],
    fullVisitorId=[f'v{i // 10}' for i in range(N)],
    session_id=[i // 5 for i in range(N)],
    tab=[i % 4 for i in range(N)],
  )
  assert found == {
    'user': 'fullVisitorId',
    'item': 'adId',
    'session': 'session_id',
  }


def test_session_numbers_within_the_user_are_no_session_ids(tmp_path):
  found = _keys(
    tmp_path,
    user=[i // 10 for i in range(N)],
    session=[i % 10 // 5 + 10 for i in range(N)],
  )
  assert found == {'user': 'user'}


def test_the_number_of_a_visit_is_no_session(tmp_path):
  few = {'session': [i % 4 for i in range(1200)]}
  assert _keys(tmp_path, x=[i % 40 for i in range(1200)], **few) == {}
  assert 'session' in _keys(tmp_path, session=[i // 10 for i in range(1200)])
  assert 'session' in _keys(tmp_path, sessionid=few['session'])
  texts = [f's{i}' for i in few['session']]
  assert 'session' not in _keys(tmp_path, session=texts)
  # Nor where it fills whole blocks of a part of a log.
  log = {'session': [i % 4 for i in range(20_000)], 'x': range(20_000)}
  sample = sample_lib.read(logs.write(tmp_path / 'log.csv', log), 4000)
  assert not sample.is_whole
  assert not _find(sample, facts_lib.find(sample), None)


def test_an_id_may_stand_before_its_word(tmp_path):
  found = _keys(
    tmp_path,
    id_user=[i // 10 for i in range(N)],
    id_item=[i % 40 for i in range(N)],
    id_session=[i // 5 for i in range(N)],
  )
  assert found == {
    'user': 'id_user',
    'item': 'id_item',
    'session': 'id_session',
  }


def test_an_id_for_every_row_is_no_key(tmp_path):
  found = _keys(tmp_path, user_id=range(N), item=[i % 9 for i in range(N)])
  assert found == {'item': 'item'}


def test_a_column_of_few_values_is_no_user_and_no_item(tmp_path):
  many = {'x': [i % 40 for i in range(1200)]}
  few = {'device': [i % 6 for i in range(1200)]}
  assert _keys(tmp_path, **many, **few) == {}
  coupons = {'coupon': [i % 6 for i in range(1200)]}
  assert _keys(tmp_path, **many, **coupons) == {}
  # Six rows of each are few enough.
  assert _keys(tmp_path, device=[i % 6 for i in range(36)]) == {
    'user': 'device'
  }


def test_how_often_a_campaign_called_is_no_item(tmp_path):
  calls = [min(i % 7 * (i % 5), 12) // 2 + 1 for i in range(N)]
  calls[:11] = range(1, 12)
  assert _keys(tmp_path, campaign=calls) == {}
  assert _keys(tmp_path, ad_id=calls) == {'item': 'ad_id'}
  users = [f'u{i // 4}' for i in range(N)]
  assert _keys(tmp_path, campaign=calls, user=users)['item'] == 'campaign'


def test_times_are_no_keys_by_their_rows(tmp_path):
  columns = {'ts': [1_700_000_000 + i // 5 for i in range(N)], 'x': range(N)}
  sample, facts = logs.sample_of(tmp_path, columns)
  assert _find(sample, facts, 'x')['user'].column == 'ts'
  assert _find(sample, facts, 'x', times=['ts']) == {}


def test_an_empty_column_is_no_user(tmp_path):
  columns = {'user_id': [''] * N, 'x': range(N)}
  _, facts = logs.sample_of(tmp_path, columns)
  assert keys.refused(facts) == {}


@pytest.mark.parametrize('name', ['Kunden', 'steam', 'passenger_num'])
def test_counts_are_no_users(tmp_path, name):
  assert _keys(tmp_path, **{name: [i % 90 for i in range(N)]}) == {}


@pytest.mark.parametrize(
  'name', ['customer_unique_id', 'author.steamid', 'Kunden-Nr', 'Kundennummer']
)
def test_further_names_of_users(tmp_path, name):
  users = [f'u{i // 4}' for i in range(N)]
  assert _keys(tmp_path, **{name: users}) == {'user': name}


def test_a_user_of_most_rows_stands_for_all_unknown_ones(tmp_path):
  users = [0 if i % 5 else i for i in range(N)]
  assert _keys(tmp_path, user_id=users) == {}
  users = [0 if i % 5 < 2 else i for i in range(N)]
  assert _keys(tmp_path, user_id=users) == {'user': 'user_id'}
  # The most frequent item may be in most rows.
  items = [0 if i % 5 else i for i in range(N)]
  assert _keys(tmp_path, item_id=items) == {'item': 'item_id'}


def test_the_item_differs_within_a_session(tmp_path):
  pages = {
    'session_id': [i // 5 for i in range(N)],
    'document_id': [i // 5 % 30 for i in range(N)],
  }
  found = _keys(tmp_path, **pages, ad_id=[i % 80 for i in range(N)])
  assert found == {'session': 'session_id', 'item': 'ad_id'}
  assert _keys(tmp_path, **pages)['item'] == 'document_id'


def test_an_id_of_some_rows_alone_is_no_session(tmp_path):
  some = [i // 5 if i % 5 > 2 else '' for i in range(N)]
  found = _keys(tmp_path, user=[i // 10 for i in range(N)], order_id=some)
  assert found == {'user': 'user'}


def test_a_session_may_lack_in_some_rows(tmp_path):
  some = [f's{i // 5}' if i % 11 else '' for i in range(N)]
  found = _keys(tmp_path, user=[i // 10 for i in range(N)], session_id=some)
  assert found == {'user': 'user', 'session': 'session_id'}
  # Rows without a user are of no other user.
  users = [i // 10 if i % 11 else '' for i in range(N)]
  found = _keys(tmp_path, user=users, session_id=[i // 5 for i in range(N)])
  assert found == {'user': 'user', 'session': 'session_id'}


def test_an_order_is_the_session_where_nothing_else_is(tmp_path):
  columns = {'user': [i // 20 for i in range(N)]}
  orders = {'order_id': [i // 2 for i in range(N)]}
  found = _keys(tmp_path, **columns, **orders)
  assert found['session'] == 'order_id'
  found = _keys(
    tmp_path, **columns, **orders, session_id=[i // 10 for i in range(N)]
  )
  assert found['session'] == 'session_id'


@pytest.mark.parametrize(
  ('name', 'values'),
  [
    ('order_num', [i % 30 for i in range(N)]),
    ('passenger_num', [i % 12 for i in range(N)]),
    ('job', [f'job {i % 12}' for i in range(N)]),
    ('exercise', [i % 12 for i in range(N)]),
    ('problem_number', [i % 40 for i in range(N)]),
    ('account', [i % 60 for i in range(N)]),
    ('aid', [i % 3 for i in range(1200)]),
    ('card_id', [i % 30 for i in range(N)]),
    ('order_no', [i % 20 for i in range(1200)]),
    ('delivery_date', [f'0{i // 60 % 9}-03' for i in range(1200)]),
    ('user_pseudo_id', [f'{i}.{i * 7}' for i in range(N)]),
  ],
)
def test_columns_that_are_no_keys(tmp_path, name, values):
  others = [i % 7 for i in range(len(values))]
  found = _keys(tmp_path, **{name: values, 'x': others})
  assert found in ({}, {'user': 'account'})


def test_people_are_users_however_few_they_are(tmp_path):
  subjects = [i // 150 for i in range(1200)]
  arms = [i % 5 for i in range(1200)]
  found = _keys(tmp_path, subject=subjects, ad_id=arms)
  assert found == {'user': 'subject', 'item': 'ad_id'}


def test_in_a_part_of_a_log_a_session_comes_back(tmp_path):
  log = logs.write(
    tmp_path / 'log.csv',
    {
      'user_id': [i // 40 for i in range(8000)],
      'session_id': [i // 5 for i in range(8000)],
      'request_id': range(8000),
    },
  )
  sample = sample_lib.read(log, 800)
  found = _find(sample, facts_lib.find(sample), 'x')
  assert found['session'].column == 'session_id'


def test_rows_that_stand_together_tell_of_a_key(tmp_path):
  found = _keys(
    tmp_path,
    x=[i % 40 for i in range(N)],
    # Mostly one value, so that its rows stand together by chance.
    rare=[i if i % 20 == 0 else 1 for i in range(N)],
    g=[i // 8 * 13 for i in range(N)],
  )
  assert found == {'user': 'g'}
  # `rmtl prepare` would refuse rows without one.
  some = ['' if i == N - 1 else str(i // 8 * 13) for i in range(N)]
  assert not _keys(tmp_path, x=[i % 40 for i in range(N)], g=some)


def _choices(**columns):
  """Occasions of four rows, two of each user."""
  return {
    'x': [i % 40 for i in range(N)],
    'occasion': [i // 4 * 13 for i in range(N)],
    'shop': [f's{i // 8}' for i in range(N)],
    **columns,
  }


def test_rows_of_a_choice_are_a_session_where_there_is_no_time(tmp_path):
  assert _keys(tmp_path, has_time=False, **_choices()) == {
    'session': 'occasion'
  }


def test_rows_of_a_choice_are_a_session_beside_a_user(tmp_path):
  users = {'user': [f'u{i // 8}' for i in range(N)]}
  found = _keys(tmp_path, has_time=False, **_choices(**users))
  assert found == {'user': 'user', 'session': 'occasion'}
  # What is as coarse as the user, or mixes users, is no session.
  coarse = {n: v for n, v in _choices(**users).items() if n != 'occasion'}
  assert _keys(tmp_path, has_time=False, **coarse) == {'user': 'user'}
  mixed = _choices(user=[f'u{i % 2 + i // 8 * 2}' for i in range(N)])
  assert _keys(tmp_path, has_time=False, **mixed) == {'user': 'user'}


def test_rows_of_a_choice_are_a_session_where_all_have_one_time(tmp_path):
  users = {'user': [f'u{i // 8}' for i in range(N)]}
  slates = {'shown_at': [i // 4 for i in range(N)]}
  found = _keys(tmp_path, **_choices(**users), **slates)
  assert found == {'user': 'user', 'session': 'occasion'}
  assert _keys(tmp_path, **_choices(), **slates) == {'session': 'occasion'}
  # Rows that came one by one are cut into sessions by their times.
  assert _keys(tmp_path, **_choices(**users)) == {'user': 'user'}


def test_an_id_that_comes_back_is_the_user(tmp_path):
  ids = [i % 80 for i in range(N)]
  assert _keys(tmp_path, id=ids) == {'user': 'id'}
  assert _keys(tmp_path, id=range(N)) == {}
  assert _keys(tmp_path, id=[i % 5 for i in range(N)]) == {}
  assert _keys(tmp_path, unit_id=ids) == {}
  both = _keys(tmp_path, id=ids, user=[i % 50 for i in range(N)])
  assert both == {'user': 'user'}
  # Beside the session of a choice, whose rows are of one each.
  persons = _choices(id=[i // 8 for i in range(N)])
  assert _keys(tmp_path, has_time=False, **persons) == {
    'session': 'occasion',
    'user': 'id',
  }
  assert _keys(tmp_path, has_time=False, **_choices(id=ids)) == {
    'session': 'occasion'
  }


def test_an_id_of_a_choice_alone_is_its_session(tmp_path):
  ids = [i // 4 for i in range(N)]
  assert _keys(tmp_path, has_time=False, id=ids) == {'session': 'id'}


def test_values_that_come_back_are_no_session(tmp_path):
  # Half of the values stand in two places, as a user does who comes again.
  values = [i // 4 if i < N // 2 else (i - N // 2) // 4 for i in range(N)]
  assert _keys(tmp_path, has_time=False, x=values) == {'user': 'x'}


def test_many_rows_of_a_value_are_no_session(tmp_path):
  values = [i // 60 for i in range(1500)]
  assert _keys(tmp_path, has_time=False, x=values) == {'user': 'x'}


def test_events_are_found_by_name_and_value(tmp_path):
  sample, facts = logs.sample_of(
    tmp_path,
    {
      'colour': ['red', 'blue'] * 200,
      'event': ['view', 'view', 'cart', 'buy'] * 100,
      'order': ['', '', '', 'o'] * 100,
    },
  )
  found = events.find(sample, facts)
  assert found and found.column == 'event'
  assert found.counts == {'view': 200, 'buy': 100, 'cart': 100}
  assert events.of_some(sample, facts, found) == {
    'order': 'filled only where event is buy'
  }


def test_sources_are_known_by_their_columns():
  retailrocket = ('timestamp', 'visitorid', 'event', 'itemid', 'transactionid')
  assert events.source_of(('x', *retailrocket)) == 'retailrocket'
  assert events.source_of(retailrocket[1:]) == ''


def test_events_of_a_shop_are_declared():
  happened = events.Events(
    'event', {'view': 90, 'add_to_cart': 9, 'like': 5, 'buy': 4, 'unlike': 1}
  )
  assert events.declare(happened) == (
    {
      'column': 'event',
      'impressions': ['view'],
      'labels': {
        'add_to_cart': ['add_to_cart', 'buy'],
        'like': ['like'],
        'buy': ['buy'],
      },
    },
    [
      {'name': 'add_to_cart'},
      {'name': 'like'},
      {'name': 'buy', 'after': 'add_to_cart'},
    ],
  )


def test_of_codes_the_most_frequent_is_the_impression():
  happened = events.Events('behavior', {'1': 90, '3': 9})
  declared, tasks = events.declare(happened)
  assert declared['impressions'] == ['1']
  assert declared['labels'] == {'behavior_3': ['3']}
  assert tasks == [{'name': 'behavior_3'}]


@pytest.mark.parametrize(
  ('user', 'item'),
  [
    ('id_usuario', 'id_producto'),
    ('Benutzer', 'Artikelnummer'),
    ('Customer Email', 'tweet_id'),
    ('klantnummer', 'prodotto_id'),
    ('candidate_id', 'VIEW_COUPON_ID'),
    ('profile_url', 'episode_uri'),
  ],
)
def test_names_of_keys_in_other_words(tmp_path, user, item):
  columns = {
    user: [f'u{i // 10}' for i in range(N)],
    item: [f'i{i % 80}' for i in range(N)],
  }
  assert _keys(tmp_path, **columns) == {'user': user, 'item': item}


def test_ids_come_before_names(tmp_path):
  users = [i // 10 for i in range(N)]
  items = [i % 80 for i in range(N)]
  names = {
    'player_name': [f'p{i}' for i in users],
    'game_title': [f'Game {i}' for i in items],
  }
  assert _keys(tmp_path, **names) == {
    'user': 'player_name',
    'item': 'game_title',
  }
  assert _keys(tmp_path, **names, device_id=users, clip_id=items) == {
    'user': 'device_id',
    'item': 'clip_id',
  }
  # Nor is one who is new in each order.
  orders = {
    'customer_id': [i // 2 for i in range(N)],
    'customer_unique_id': users,
  }
  assert _keys(tmp_path, **orders) == {'user': 'customer_unique_id'}
  # Few of them are rather kinds.
  few = [f'k{i % 4}' for i in range(4 * N)]
  assert not _keys(tmp_path, product_name=few, x=range(4 * N))


@pytest.mark.parametrize(
  'name', ['Email', 'email_address', 'anonymous_id', 'distinct_id']
)
def test_a_user_that_all_rows_have_comes_first(tmp_path, name):
  users = [i // 10 for i in range(N)]
  known = [i if i % 3 else '' for i in users]
  people = {'user_id': known, name: [f'{i}@x.org' for i in users]}
  assert _keys(tmp_path, **people) == {'user': name}
  few = {'user_id': [i or '' for i in users]}
  assert _keys(tmp_path, **{**people, **few}) == {'user': 'user_id'}


def test_how_many_mails_somebody_got_is_no_user(tmp_path):
  assert not _keys(tmp_path, email=[i % 5 for i in range(1600)])

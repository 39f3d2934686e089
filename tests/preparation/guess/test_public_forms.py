"""Logs with the columns of well-known public ones: what each is taken for."""

import datetime

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.preparation.guess import guess
from tests import walks
from tests.preparation.guess import logs

N = 600
_START = datetime.datetime(2020, 3, 1, tzinfo=datetime.UTC)


def _every(step, offset=0, one=1, zero=0):
  return [one if i % step == offset else zero for i in range(N)]


def _times(minutes, pattern='%Y-%m-%d %H:%M:%S'):
  step = datetime.timedelta(minutes=minutes)
  return [(_START + step * i).strftime(pattern) for i in range(N)]


def _codes(count, first=0):
  return [first + i * 7 % count for i in range(N)]


def _fractions(scale=1.0):
  return [round(scale * ((i * 37 % N) + 0.5) / N, 4) for i in range(N)]


def _avazu():
  return {
    'id': [10**15 + 17 * i for i in range(N)],
    'click': _every(5),
    'hour': _times(20, '%y%m%d%H'),
    'site_id': [f'{i % 60:08x}' for i in range(N)],
    'device_id': [f'd{i}' if i % 3 == 0 else 'a99f214a' for i in range(N)],
    'device_type': _codes(3),
  }


def _google_analytics():
  return {
    'event_date': _times(60, '%Y%m%d'),
    'event_timestamp': [10**6 * (1_600_000_000 + 60 * i) for i in range(N)],
    'event_name': ['page_view', 'view_item', 'page_view', 'purchase'] * 150,
    'user_pseudo_id': [f'{i // 8}.{i // 8 * 13}' for i in range(N)],
    'ga_session_id': [10**9 + i // 4 for i in range(N)],
    'item_id': [f'GGOE{i % 50}' for i in range(N)],
  }


def _outbrain():
  return {
    'display_id': [1 + i // 6 for i in range(N)],
    'ad_id': _codes(90, 1),
    'clicked': _every(6, 2),
    'uuid': [f'u{i // 12}' for i in range(N)],
    'document_id': [1000 + i // 6 % 40 for i in range(N)],
    'timestamp': [61_000 + 10_000_000 * (i // 6) for i in range(N)],
  }


def _instacart():
  return {
    'order_id': [1 + i // 5 for i in range(N)],
    'product_id': _codes(90),
    'add_to_cart_order': [1 + i % 5 for i in range(N)],
    'reordered': _every(2),
    'user_id': [i // 20 for i in range(N)],
    'order_dow': [i // 5 % 7 for i in range(N)],
  }


def _hillstrom():
  return {
    'recency': _codes(11, 1),
    'history': _fractions(300),
    'newbie': _every(2, 1),
    'visit': _every(3),
    'conversion': _every(12),
    'spend': _every(12, one=29.99),
  }


def _riiid():
  return {
    'row_id': range(N),
    'timestamp': [40_000_000 * (i % 30) + i for i in range(N)],
    'user_id': [115 + i // 30 for i in range(N)],
    'content_id': _codes(80),
    'answered_correctly': _every(3, 1),
    'prior_question_elapsed_time': [1000 + i * 31 % 500 for i in range(N)],
    'prior_question_had_explanation': _every(2, 0, 'True', 'False'),
  }


def _shoppers():
  return {
    'BounceRates': _fractions(),
    'Month': ['Feb', 'Mar', 'Nov'] * 200,
    'Weekend': _every(7, 0, 'TRUE', 'FALSE'),
    'Revenue': _every(6, 1, 'TRUE', 'FALSE'),
  }


def _talking_data():
  times = _times(3)
  return {
    'ip': [i * 7919 % 211 for i in range(N)],
    'app': _codes(40),
    'device': _every(10),
    'click_time': times,
    'attributed_time': [times[i] if i % 9 == 0 else '' for i in range(N)],
    'is_attributed': _every(9),
  }


def _telco():
  return {
    'customerID': [f'{i:04}-XYZ' for i in range(N)],
    'tenure': _codes(73),
    'Contract': ['Month-to-month', 'One year', 'Two year'] * 200,
    'Churn': _every(4, 0, 'Yes', 'No'),
  }


def _bank():
  return {
    'age': _codes(60, 18),
    'job': [f'job {i % 12}' for i in range(N)],
    'default': _every(40, 3, 'yes', 'no'),
    'campaign': [1 + i % 3 for i in range(N)],
    'y': _every(8, 0, 'yes', 'no'),
  }


def _otto():
  return {
    'session': [i // 8 for i in range(N)],
    'aid': _codes(90),
    'ts': [1_661_724_000_000 + 60_000 * i for i in range(N)],
    'type': ['clicks', 'clicks', 'carts', 'clicks', 'orders', 'clicks'] * 100,
  }


def _online_retail():
  return {
    'InvoiceNo': [536_365 + i // 5 for i in range(N)],
    'StockCode': _codes(90, 10_000),
    'InvoiceDate': _times(30, '%m/%d/%Y %H:%M'),
    'CustomerID': [17_850 + i // 20 for i in range(N)],
  }


def _kuairec():
  return {
    'user_id': [i // 10 for i in range(N)],
    'video_id': _codes(80),
    'play_duration': [500 + i * 31 % 900 for i in range(N)],
    'video_duration': [900 + i * 17 % 300 for i in range(N)],
    'timestamp': [1_593_907_200.12 + 60 * i for i in range(N)],
    'watch_ratio': _fractions(),
  }


def _expedia():
  return {
    'srch_id': [1 + i // 10 for i in range(N)],
    'date_time': [_times(9)[i // 10] for i in range(N)],
    'prop_id': _codes(90),
    'srch_booking_window': _codes(120),
    'srch_saturday_night_bool': _every(2),
    'click_bool': _every(10, 3),
    'booking_bool': _every(20, 3),
  }


def _credit_default():
  return {
    'ID': range(1, N + 1),
    'AGE': _codes(50, 21),
    'PAY_0': [i % 8 - 2 for i in range(N)],
    'PAY_2': [i // 3 % 8 - 2 for i in range(N)],
    'PAY_3': [i // 5 % 8 - 2 for i in range(N)],
    'BILL_AMT1': [i * 7919 % 20_000 for i in range(N)],
    'default payment next month': _every(5, 3),
  }


def _loan():
  return {
    'Loan_ID': [f'LP{i:06}' for i in range(N)],
    'Married': _every(2, 0, 'Yes', 'No'),
    'LoanAmount': [100 + i * 31 % 500 for i in range(N)],
    'Loan_Status': _every(3, 1, 'N', 'Y'),
  }


def _coveo():
  return {
    'session_id_hash': [f'{i // 6:032x}' for i in range(N)],
    'event_type': ['pageview', 'detail', 'detail', 'add', 'purchase'] * 120,
    'product_sku_hash': [f'{i * 7 % 90:032x}' for i in range(N)],
    'server_timestamp_epoch_ms': [
      1_550_885_210_881 + 7000 * i for i in range(N)
    ],
  }


def _coveo_products():
  """Actions on products; a view of a page has none, and no product here."""
  actions = ['', 'detail', 'detail', 'add', 'purchase', 'remove'] * 100
  return {
    'session_id_hash': [f'{i // 6:032x}' for i in range(N)],
    'event_type': ['event_product' if a else 'pageview' for a in actions],
    'product_action': actions,
    'product_sku_hash': [f'{i * 7 % 90:032x}' for i in range(N)],
    'server_timestamp_epoch_ms': [
      1_550_885_210_881 + 7000 * i for i in range(N)
    ],
  }


def _spotify():
  """How long a session became is none of its rows' features."""
  return {
    'session_id': [f's{i // 6}' for i in range(N)],
    'session_position': [1 + i % 6 for i in range(N)],
    'session_length': [6 + i // 6 % 7 for i in range(N)],
    'track_id_clean': [f't{i * 7 % 90}' for i in range(N)],
    'skip_3': _every(7),
    'date': _times(60, '%Y-%m-%d'),
  }


def _amazon_2023():
  return {
    'user_id': [f'AG{i // 6}' for i in range(N)],
    'parent_asin': [f'B0{i * 7 % 90}' for i in range(N)],
    'rating': [1.0 + i % 5 for i in range(N)],
    'timestamp': [1_588_687_728_923 + 10**8 * i for i in range(N)],
  }


def _mtreclib():
  return {
    'search_id': [i // 6 for i in range(N)],
    'categorical_1': _codes(10),
    'numerical_1': _codes(10),
    'click': _every(3),
    'conversion': _every(9),
  }


def _yambda():
  return {
    'uid': [i // 20 for i in range(N)],
    'timestamp': [15 * i for i in range(N)],
    'item_id': _codes(90),
    'played_ratio_pct': [i * 31 % 100 for i in range(N)],
    'event_type': ['listen', 'listen', 'like', 'listen', 'dislike'] * 120,
  }


def _jobs():
  return {
    'application_date': _times(60 * 24, '%Y-%m-%d'),
    'applicant_id': _codes(110),
    'job_id': [i * 11 % 90 for i in range(N)],
    'years_experience': [i * 13 % 29 for i in range(N)],
    'shortlisted': _every(4),
    'viewed_by_recruiter': _every(2),
    'signup': _every(9),
  }


def _ipinyou():
  return {
    'click': _every(11),
    'timestamp': [
      f'{time}{i % 1000:03}' for i, time in enumerate(_times(7, '%Y%m%d%H%M%S'))
    ],
    'slotprice': [i * 31 % 100 for i in range(N)],
    'creative': _codes(60),
  }


@pytest.mark.parametrize(
  ('log', 'roles'),
  [
    (_avazu, 'left out, label, time, category, category, category'),
    (_google_analytics, 'left out, time, event, user, session, item'),
    (_outbrain, 'session, item, label, user, category, time'),
    (_instacart, 'session, item, left out, label, user, category'),
    (_hillstrom, 'number, number, category, label, label, leak'),
    (_riiid, 'left out, time, user, item, label, number, category'),
    (_shoppers, 'number, category, category, label'),
    (_talking_data, 'category, category, category, time, label, label'),
    (_telco, 'left out, number, category, label'),
    (_bank, 'number, category, category, category, label'),
    (_otto, 'session, item, time, event'),
    (_online_retail, 'session, item, time, user'),
    (_kuairec, 'user, item, label, number, time, left out'),
    (
      _expedia,
      'session, time, item, number, category, label, label',
    ),
    (
      _credit_default,
      'left out, number, number, number, number, number, label',
    ),
    (_loan, 'left out, category, number, label'),
    (_coveo, 'session, event, item, time'),
    (_coveo_products, 'session, category, event, item, time'),
    (_spotify, 'session, category, left out, item, label, time'),
    (_amazon_2023, 'user, item, label, time'),
    (_mtreclib, 'session, category, number, label, label'),
    (_yambda, 'user, time, item, left out, event'),
    (_jobs, 'time, user, item, number, label, label, label'),
    (_ipinyou, 'label, time, number, item'),
  ],
)
def test_roles(tmp_path, log, roles):
  found = guess.guess(logs.write(tmp_path / 'log.csv', log()))
  assert ', '.join(column.role for column in found.columns) == roles


@pytest.mark.parametrize(
  ('log', 'form'),
  [
    (_avazu, {'format': '%y%m%d%H'}),
    (_outbrain, {'unit': 'ms'}),
    (_riiid, {'unit': 'ms'}),
    (_online_retail, {'format': '%m/%d/%Y %H:%M'}),
    (_kuairec, {'unit': 's'}),
    (_ipinyou, {'format': '%Y%m%d%H%M%S%g'}),
  ],
)
def test_how_times_are_written(tmp_path, log, form):
  found = guess.guess(logs.write(tmp_path / 'log.csv', log()))
  assert found.schema['time'].pop('column')
  assert found.schema['time'] == form


def test_an_hour_with_its_date_makes_hours(tmp_path):
  found = guess.guess(logs.write(tmp_path / 'log.csv', _avazu()))
  assert found.schema['from_time'] == ['hour']


def test_views_of_several_names_are_impressions(tmp_path):
  log = logs.write(tmp_path / 'log.csv', _google_analytics())
  events = guess.guess(log).schema['events']
  assert events['impressions'] == ['page_view', 'view_item']
  assert events['labels'] == {'purchase': ['purchase']}
  log = logs.write(tmp_path / 'other.csv', _coveo_products())
  assert guess.guess(log).schema['events'] == {
    'column': 'product_action',
    'impressions': ['detail'],
    'labels': {'add': ['add', 'purchase'], 'purchase': ['purchase']},
  }


def test_a_step_before_a_label_is_no_feature(tmp_path):
  """With the name of an answer it is one; what describes the user is none."""
  columns = {
    'user': [i // 2 for i in range(N)],
    'offered': _every(2),
    'x': _codes(9),
    'reached': _every(3),
    'member': [int(i // 2 % 3 != 1) for i in range(N)],
    'conversion': [int(i % 12 == 0 and i // 2 % 3 != 1) for i in range(N)],
    'often': [int(i % 60 != 1) for i in range(N)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  roles = {column.name: column.role for column in found.columns}
  assert roles['reached'] == 'left out'
  assert roles['member'] == roles['often'] == 'category'
  # Not beside the label.
  assert roles['offered'] == 'category'
  why = next(c.why for c in found.columns if c.name == 'reached')
  assert why == (
    '1 wherever conversion is: may be an earlier answer; --label=conversion'
    ' --label=reached makes both tasks'
  )
  columns = {
    'visited' if name == 'reached' else name: values
    for name, values in columns.items()
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert found.schema['tasks'] == [
    {'name': 'visited', 'column': 'visited'},
    {'name': 'conversion', 'column': 'conversion', 'after': 'visited'},
  ]


def test_what_excludes_a_label_is_no_feature(tmp_path):
  """Columns that most rows lack do not part answers."""
  opened = _every(4)
  columns = {
    'user': [i // 2 for i in range(N)],
    'is_new': [int(i % 8 == 3) for i in range(N)],
    'offered': [int(i % 4 == 2) for i in range(N)],
    'x': [code if i % 50 else '' for i, code in enumerate(_codes(9))],
    'dismissed': [int(i % 4 == 1) for i in range(N)],
    'opened': opened,
    'opened_at': ['2024-05-01' if o else '' for o in opened],
    'bounced': [int(i % 12 == 3) for i in range(N)],
    'seldom': [int(i in (1, 2, 3)) for i in range(N)],
  }
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  why = {column.name: (column.role, column.why) for column in found.columns}
  for name in ('dismissed', 'bounced'):
    assert why[name] == (
      'left out',
      f'never 1 where opened is: may be another answer; --label=opened'
      f' --label={name} makes both tasks',
    )
  # Not beside the label, or none of both by chance.
  roles = [why[name][0] for name in ('is_new', 'offered', 'seldom')]
  assert roles == ['category'] * 3
  del columns['user']
  found = guess.guess(logs.write(tmp_path / 'log.csv', columns))
  assert all(column.role != 'left out' for column in found.columns)


_OTHER_FORMS = {
  'UserBehavior.csv': '7,38,5,1511544070,pv\n7,40,5,1511544080,buy\n',
  'reviews.jsonl': '{"user_id": "a", "rating": 4.0, "images": [{"id": "x"}]}\n',
  'otto.jsonl': (
    '{"session": 3, "events": [{"aid": 1, "ts": 9, "type": "clicks"},'
    ' {"aid": 2, "ts": 10, "type": "orders"}]}\n'
  ),
  'sessions.csv': "prev_items,next_item\n['B01' 'B02'],B03\n",
  'behaviors.tsv': '1\tU7\t11/9/2019 7:05:00 AM\tN3 N4\tN1-0 N2-1\n',
  'clickouts.csv': (
    'user_id,action_type,reference,impressions,prices\n'
    'a,clickout item,40,38|40,75|80\na,filter,WiFi,,\n'
  ),
  'views.csv': 'itemId;eventdate;timeframe\n38;2016-02-01;1500\n',
  'browsing.csv': 'session_id_hash,product_sku_hash\na,\na,b\n',
  'purchases.csv': 'itemId;ordernumber\n38;9\n',
  'clicks.csv': 'display_id,ad_id,clicked\n1,38,0\n1,40,1\n',
  'displays.csv': 'display_id,uuid\n1,a\n',
  'transactions.csv': (
    't_dat,customer_id,article_id\n2018-09-20,a,038\n2018-09-21,b,040\n'
  ),
}
_AT = datetime.datetime(2016, 2, 1, 0, 0, 1, 500_000)
_DAY = datetime.date(2016, 2, 1)
_TABLES = [
  [(7, 38, 5, 1511544070, 'pv'), (7, 40, 5, 1511544080, 'buy')],
  [('a', 4.0, [{'id': 'x'}])],
  [(3, 1, 9, 'clicks'), (3, 2, 10, 'orders')],
  [(1, 'a', 'x', 2.5)],
  [(1, 'a', 0.5, 9), (1, 'b', 2.5, None)],
  [(['B01', 'B02'], 'B03')],
  [(7, 50, 38), (7, 60, 40)],
  [
    ('1', 'U7', '11/9/2019 7:05:00 AM', 'N3 N4', 'N1', '0'),
    ('1', 'U7', '11/9/2019 7:05:00 AM', 'N3 N4', 'N2', '1'),
  ],
  [('a', '38', '75', False), ('a', '40', '80', True)],
  [('view', 38, _DAY, 1500, None), ('purchase', 38, None, None, 9)],
  [('a', 'b')],
  [(38, _DAY, 1500, _AT)],
  [(1, 38, 0, 'a'), (1, 40, 1, 'a')],
]


def test_documented_statements_make_tables(tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  for name, text in _OTHER_FORMS.items():
    (tmp_path / name).write_text(text)
  lists = {'uid': [7], 'timestamp': [[50, 60]], 'item_id': [[38, 40]]}
  pq.write_table(pa.table(lists), 'listens.parquet')
  shown = {'visitor': {'id': 'a'}, 'product': {'sku': 'x', 'price': 2.5}}
  nested = pa.Table.from_pylist([{'clicked': 1, **shown}])
  pq.write_table(nested, 'clicks.parquet')
  shown = [
    {'article_id': 'a', 'age_hours': 0.5},
    {'article_id': 'b', 'age_hours': 2.5},
  ]
  listed = pa.table({'impression_id': [1], 'shown': [shown]})
  pq.write_table(listed, 'impressions.parquet')
  answer = {'impression_id': [1], 'article_id': ['a'], 'clicked_at': [9]}
  pq.write_table(pa.table(answer), 'answers.parquet')
  *statements, last = [
    duckdb.sql(statement)
    for block in walks.blocks('docs/own_data.md', 'sql')
    for statement in block.strip().split(';\n')
  ]
  found = [sorted(one.fetchall(), key=str) for one in statements]
  assert found == [sorted(rows, key=str) for rows in _TABLES]
  last.write_parquet('log.parquet')
  rows = pq.read_table('log.parquet').to_pylist()
  assert len(rows) == 10 and sum(row['bought'] for row in rows) == 2
  assert {row['article_id'] for row in rows} <= {'038', '040'}

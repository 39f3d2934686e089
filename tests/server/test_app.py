"""Requests and what they are answered."""

from __future__ import annotations

import jax.monitoring
import numpy as np
import pytest

import rmtl_jax
from rmtl_jax.server import bodies
from tests.server import client as client_lib
from tests.serving import past_run

ROW = {
  'visit': 'v1',
  'time': 5000,
  'who': 'u2',
  'item': 'i3',
  'tags': '1|2',
  'price': 0.5,
}
NO_TYPE = {'content-type': ''}


@pytest.fixture(scope='module')
def client(plain_model):
  with client_lib.serving(plain_model) as found:
    yield found


def rows(count):
  table = past_run.log(400).slice(0, count)
  return table.drop_columns(['clicked', 'bought'])


def refused(client, status, text, path='/v1/predict', **request):
  if 'content' in request:
    json_type = {'content-type': bodies.JSON}
    request['headers'] = json_type | request.get('headers', {})
  answer = client.post(path, **request)
  assert answer.status_code == status, answer.text
  line = answer.text
  assert line.count('\n') == 1 and set(answer.json()) == {'error'}
  assert text in answer.json()['error'], line
  return answer


def test_json_rows_get_what_predict_gives(client, plain_model):
  table = rows(20)
  expected = rmtl_jax.load(plain_model, warm_up=0).predict_proba(table)
  answer = client.post('/v1/predict', json={'rows': table.to_pylist()})
  assert answer.status_code == 200, answer.text
  found = answer.json()['predictions']
  values = np.array([[r['click'], r['conversion']] for r in found], np.float32)
  np.testing.assert_array_equal(values, expected)
  assert answer.json()['version'] == client.get('/health').json()['version']


def test_nothing_is_compiled_for_a_request(plain_model):
  """Sizes that were never asked for are compiled already."""
  compiled = []
  with client_lib.serving(plain_model) as client:
    jax.monitoring.register_event_duration_secs_listener(
      lambda event, *args, **more: compiled.append(event)
    )
    for count in (1, 2, 9, 31, 32):
      answer = client.post('/v1/predict', json=rows(count).to_pylist())
      assert answer.status_code == 200
  assert not [event for event in compiled if 'backend_compile' in event]


@pytest.mark.parametrize(
  ('status', 'text', 'request_'),
  [
    (400, 'not readable as JSON', {'content': b'{"rows": ['}),
    (400, 'NaN is no JSON', {'content': b'[{"price": NaN}]'}),
    (400, 'nested too deeply', {'content': b'[' * 100_000}),
    (400, 'expected a list of rows', {'json': {'row': []}}),
    (400, 'row 2: expected an object', {'json': [ROW, 3]}),
    (422, 'has no rows', {'json': []}),
    (413, 'more than 32 rows', {'json': [ROW] * 33}),
    (413, 'more than 8,000,000 bytes', {'content': b' ' * 8_000_001}),
    (415, "content-type is ''", {'content': b'x', 'headers': NO_TYPE}),
    (
      415,
      "content-encoding is 'gzip'; send it as it is",
      {'content': b'x', 'headers': {'content-encoding': 'gzip'}},
    ),
    (
      422,
      "no column 'tags'",
      {'json': [{name: ROW[name] for name in ROW if name != 'tags'}]},
    ),
    (
      422,
      "row 2, column 'price': 'dear', expected values of one type",
      {'json': [ROW, ROW | {'price': 'dear'}]},
    ),
    (
      422,
      "row 2, column 'item': {}, expected values of one type",
      {'json': [ROW, ROW | {'item': {}}]},
    ),
    (
      422,
      "column 'item': struct<a: int64>, expected numbers, text",
      {'json': [ROW | {'item': {'a': 1}}]},
    ),
    (422, "row 1, column 'item'", {'content': b'[{"item": "\\ud800"}]'}),
    (422, 'request', {'content': b'[{"\\ud800": 1}]'}),
  ],
)
def test_errors_are_one_line(client, status, text, request_):
  refused(client, status, text, **request_)


def test_a_body_without_a_length_is_limited(client):
  def parts():
    for _ in range(9):
      yield b' ' * 1_000_000

  refused(client, 413, 'more than 8,000,000 bytes', content=parts())


def test_paths_and_methods(client):
  refused(client, 404, '/v1/nothing', '/v1/nothing')
  refused(client, 405, 'POST /health', '/health')
  assert client.get('/v1/predict').headers['allow'] == 'POST'
  refused(client, 404, 'keeps no state', '/v1/events', json=[ROW])
  host = {'host': 'elsewhere'}
  refused(client, 404, 'Not Found', '/v1/predict/', json=[ROW], headers=host)


def test_what_the_model_is(client):
  found = client.get('/v1/model').json()
  assert [task['name'] for task in found['tasks']] == ['click', 'conversion']
  assert {'name': 'price', 'field': 'price', 'kind': 'numeric'} in found[
    'columns'
  ]
  assert found['as_of'] == [] and found['state'] is None


def test_unexpected_errors_say_nothing(client, plain_model, monkeypatch):
  def fail(*arguments):
    raise ValueError('a secret')

  monkeypatch.setattr(bodies, 'read', fail)
  answer = refused(client, 500, 'server: failed', json=[ROW])
  assert 'secret' not in answer.text


def test_metrics_count_requests_rows_and_unseen_values(plain_model):
  with client_lib.serving(plain_model) as client:
    client.post('/v1/predict', json=[ROW, ROW | {'item': 'never'}])
    refused(client, 400, 'JSON', content=b'{')

    def value(line):
      return client_lib.metric(client, line)

    path = 'path="/v1/predict"'
    assert value(f'rmtl_requests_total{{{path},status="200"}}') == 1
    assert value(f'rmtl_requests_total{{{path},status="400"}}') == 1
    assert value(f'rmtl_rows_total{{{path}}}') == 2
    assert value('rmtl_unseen_values_total{field="item"}') == 1


def test_a_token_is_asked_for(plain_model):
  token = 'a-token-of-some-length'
  with client_lib.serving(plain_model, token=token) as client:
    refused(client, 401, 'no valid token', json=[ROW])
    headers = {'authorization': 'Bearer another-token'}
    refused(client, 401, 'no valid token', json=[ROW], headers=headers)
    assert client.get('/metrics').status_code == 401
    assert client.get('/health').status_code == 200
    headers = {'authorization': 'Bearer a-token-of-some-length'}
    answer = client.post('/v1/predict', json=[ROW], headers=headers)
    assert answer.status_code == 200

"""Events over HTTP move the state that predictions read."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from tests.server import client as client_lib
from tests.serving import past_run

LABELS = ['clicked', 'bought']


@pytest.fixture(scope='module')
def raw():
  table = past_run.log(700, seed=3)
  return table.slice(0, 690).sort_by('time')


def values(answer):
  assert answer.status_code == 200, answer.text
  return np.array(
    [[r['click'], r['conversion']] for r in answer.json()['predictions']],
    np.float32,
  )


def test_a_log_is_replayed(past_model, raw, place, tmp_path):
  """A row is predicted before its event, as from all of the log before it."""
  pq.write_table(raw.slice(0, 500), tmp_path / 'log.parquet')
  model = rmtl_jax.load(past_model, warm_up=0)
  with client_lib.serving(
    past_model,
    state=place,
    history=str(tmp_path / 'log.parquet'),
  ) as client:
    assert client.get('/v1/model').json()['state']['rows'] > 400
    for at in range(500, 505):
      row = raw.slice(at, 1)
      asked = row.drop_columns(LABELS)
      found = values(client.post('/v1/predict', json=asked.to_pylist()))
      expected = model.predict_proba(asked, raw.slice(0, at))
      np.testing.assert_array_equal(found, expected)
      posted = client.post('/v1/events', json=row.to_pylist())
      assert posted.json() == {'rows': 1, 'added': 1}
    # Sessions are encoded by the programs that were compiled at the start.
    for count in (2, 9, 32):
      some = raw.slice(505, count).drop_columns(LABELS)
      values(client.post('/v1/predict', json=some.to_pylist()))


@pytest.mark.slow
def test_a_state_goes_on_after_a_restart(past_model, raw, place):
  rows = raw.slice(60, 1).drop_columns(LABELS).to_pylist()
  found = []
  for begin in (0, 30):
    with client_lib.serving(past_model, state=place) as client:
      posted = client.post('/v1/events', json=raw.slice(begin, 30).to_pylist())
      assert posted.status_code == 200, posted.text
  with client_lib.serving(past_model, state=place) as client:
    assert client.get('/v1/model').json()['state']['rows'] == 60
    found = values(client.post('/v1/predict', json=rows))
  model = rmtl_jax.load(past_model, warm_up=0)
  expected = model.predict_proba(
    raw.slice(60, 1).drop_columns(LABELS), raw.slice(0, 60)
  )
  np.testing.assert_array_equal(found, expected)


def test_shown_first_and_answered_later(past_model, raw, place):
  row = raw.slice(0, 1).to_pylist()[0]
  unknown = row | dict.fromkeys(LABELS)
  with client_lib.serving(past_model, state=place) as client:
    for rows, counts in (
      ([unknown], {'rows': 1, 'added': 1}),
      ([row], {'rows': 1, 'changed': 1}),
      ([row, row], {'rows': 2, 'repeated': 2}),
    ):
      answer = client.post('/v1/events', json=rows)
      assert answer.json() == counts, answer.text


def test_bad_events_are_refused_whole(past_model, raw, place):
  rows = raw.slice(0, 3).to_pylist()
  with client_lib.serving(past_model, state=place) as client:
    bad = [*rows[:2], rows[2] | {'clicked': 7}]
    answer = client.post('/v1/events', json=bad)
    assert answer.status_code == 422
    assert "row 3, column 'clicked': 7" in answer.json()['error']
    bad = [*rows[:2], rows[2] | {'clicked': 0, 'bought': 1}]
    answer = client.post('/v1/events', json=bad)
    assert answer.status_code == 422
    assert "row 3, column 'bought': 1" in answer.json()['error']
    less = [{k: v for k, v in row.items() if k != 'bought'} for row in rows]
    answer = client.post('/v1/events', json=less)
    assert "no column 'bought'" in answer.json()['error']
    answer = client.post('/v1/predict', json=[rows[0] | {'asof_gap': 1.0}])
    assert "column 'asof_gap' is there already" in answer.json()['error']
    assert client.get('/v1/model').json()['state']['rows'] == 0


def test_a_file_that_is_no_state_is_refused(past_model, tmp_path):
  from rmtl_jax import types
  from rmtl_jax.server.state import keeper

  (tmp_path / 'state.sqlite').write_bytes(b'not a database' * 100)
  model = rmtl_jax.load(past_model, warm_up=0)
  with pytest.raises(types.InputError, match='not usable'):
    keeper.Keeper(model, str(tmp_path))

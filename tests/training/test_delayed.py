"""Labels that are not final yet, and what methods make of them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from rmtl_jax import prepare, run, types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import columns, manifest_file, streaming
from rmtl_jax.training import delay_methods, delayed, split_data
from tests import paper, tiny

DAY = 86_400
# Days from a row to the end of train, and to its event; 4 days make it final.
AGE = np.array([9.0, 7.0, 3.0, 1.0, 6.0], np.float32)
DELAY = np.array([5.0, 2.0, 1.0, 9.0, 9.0], np.float32)
COMPLETING = [n for n in delay_methods.RECORDS if n != delay_methods.DROP]


def known(user=(0, 0, 0, 0, 1), within=4.0, **earlier):
  """Rows of two users; events after their age or the horizon are not seen."""
  age, delay = AGE, DELAY
  host = columns.SplitColumns(
    *(np.zeros((len(age), 0)) for _ in range(4)),
    session=np.arange(len(age)),
    user=np.array(user),
    row_id=np.arange(len(age)),
    oracle=None,
    begins_time=np.ones(len(age), bool),
    starts=np.arange(len(age) + 1),
    age=age,
    delay=np.where(delay <= within, delay, np.nan)[:, None],
    within=(within,),
  )
  return delayed.watched(host, **earlier)


def test_what_the_end_of_train_knows():
  found = known()
  assert found.final[:, 0].tolist() == [True, True, False, False, True]
  assert found.seen[:, 0].tolist() == [False, True, True, False, False]
  assert found.open[:, 0].tolist() == [False, False, False, True, False]


def test_the_last_row_of_a_user_at_a_time():
  found = known()
  # User 0 has rows 9, 7, 3 and 1 days before the end.
  after = np.array([1.9, 2.0, 5.9, 20.0])
  assert found.last(np.zeros(4, int), after).tolist() == [0, 1, 1, 3]
  assert found.last(np.array([4]), np.array([20.0])).tolist() == [4]


def test_a_row_without_a_user_is_alone():
  found = known(user=(-1, -1, -1, -1, -1))
  assert found.last(np.arange(5), np.full(5, 20.0)).tolist() == list(range(5))


def test_a_refit_knows_events_up_to_the_end_of_validation():
  # Rows 3 and 1 days before train's end are 5 and 3 before validation's.
  found = known(within=9.0, earlier=4, seconds=2.0)
  assert found.age.tolist() == [11.0, 9.0, 5.0, 3.0, 6.0]
  assert found.seen[:, 0].tolist() == [True, True, True, False, False]
  assert found.final[:, 0].tolist() == [True, True, False, False, False]


def log(rows=3000, days=60, seed=0):
  """Rows whose event comes with a chance by `kind`, 3 days later on average."""
  draw = np.random.default_rng(seed)
  kind = draw.integers(0, 2, rows)
  time = np.sort(draw.integers(0, days * DAY * 1000, rows)) + 10**12
  comes = draw.random(rows) < np.array([0.2, 0.7])[kind]
  delay = draw.exponential(3 * DAY * 1000, rows).astype(np.int64)
  return {
    'who': [f'u{n}' for n in draw.integers(0, rows // 10, rows)],
    'kind': [f'k{n}' for n in kind],
    'at': time.tolist(),
    'hit_at': [
      int(t + d) if c else None
      for t, d, c in zip(time, delay, comes, strict=True)
    ],
  }


SCHEMA = {
  'user': 'who',
  'time': {'column': 'at', 'unit': 'ms'},
  'categorical': ['kind'],
  'tasks': [
    {'name': 'hit', 'time_column': 'hit_at', 'within_seconds': 9 * DAY}
  ],
}


@pytest.fixture(scope='module')
def data(tmp_path_factory):
  """A log of 60 days, train rows up to day 36."""
  path = tmp_path_factory.mktemp('late') / 'data'
  settings = prepare_settings.PrepareConfig(
    source='table', data_dir=str(path), as_of=('none',), any_dates=True
  )
  prepare(settings, table=log(), schema=SCHEMA)
  return path


def config(method):
  return dataclasses.replace(
    tiny.CONFIG.with_network(dropout=0.0), delayed=method
  )


def read(data, method='drop', place='resident'):
  """The manifest, and train and validation rows."""
  manifest = manifest_file.read(data)
  batch = dataclasses.replace(config(method).batch, input=place)
  return manifest, [
    split_data.read(data, manifest, name, batch)
    for name in ('train', 'validation')
  ]


def completed(data, method, place='resident'):
  manifest, rows = read(data, method, place)
  return delayed.complete(
    config(method), manifest.feature_spec(), rows[0], tiny.QUIET
  )


@pytest.mark.parametrize('method', COMPLETING)
def test_completed_labels(data, method):
  _, (train, _) = read(data)
  before, after = train.host, completed(data, method).host
  found = delayed.watched(before)
  assert ((after.labels >= 0) & (after.labels <= 1)).all()
  assert (after.labels[found.seen & (after.sample_weight > 0)] > 0.5).all()
  if method == 'es_dfm':
    return
  assert (after.sample_weight == 1).all()
  assert (after.labels[found.seen] == 1).all()
  assert (after.labels[found.final] == before.labels[found.final]).all()
  open_labels = after.labels[found.open]
  if method == 'zero':
    assert not open_labels.any()
    return
  # Of the exponential delays that the log has, after a days without an event:
  # p S(a) / (1 - p + p S(a)), with the end of the horizon taken off.
  kind = before.categorical[:, 0]
  rate = [before.labels[found.final[:, 0] & (kind == k)].mean() for k in (1, 2)]
  high = 1 + int(np.argmax(rate))
  age = before.age[found.open[:, 0]] / DAY
  p = np.where(kind[found.open[:, 0]] == high, 0.7, 0.2)
  comes = p * (np.exp(-age / 3) - np.exp(-3.0))
  truth = comes / (1 - p + p * np.exp(-age / 3))
  assert np.abs(open_labels - truth).mean() < 0.12
  assert abs(open_labels.mean() - truth.mean()) < 0.06


def test_rows_on_disk_get_the_same_labels(data):
  resident = completed(data, 'row').host
  streamed = completed(data, 'row', 'streaming').host
  assert isinstance(streamed, streaming.StreamedColumns)
  rows = np.array([[5, 3], [900, -1]])
  for one in ('labels', 'sample_weight'):
    expected = getattr(resident, one)
    np.testing.assert_allclose(getattr(streamed, one), expected, atol=1e-5)
    np.testing.assert_allclose(
      getattr(streamed.take(rows), one),
      getattr(resident.take(rows), one),
      atol=1e-5,
    )


def test_dropping_leaves_the_rows_as_they_are(data):
  manifest, rows = read(data)
  spec = manifest.feature_spec()
  before, live = rows[0].host, tiny.QUIET
  after = delayed.complete(config('drop'), spec, rows[0], live).host
  np.testing.assert_array_equal(after.labels, before.labels)
  np.testing.assert_array_equal(after.sample_weight, before.sample_weight)


def test_labels_that_are_always_final_can_not_be_completed(tmp_path):
  manifest = tiny.write_prepared(tmp_path / 'data', sessions=20)
  rows = [
    split_data.read(tmp_path / 'data', manifest, name, config('row').batch)
    for name in ('train', 'validation')
  ]
  with pytest.raises(types.InputError, match='no task of these data has'):
    delayed.complete(
      config('row'), manifest.feature_spec(), rows[0], tiny.QUIET
    )


@pytest.mark.slow
def test_a_run_with_completed_labels(data, tmp_path):
  record = run.train(config('critic'), tmp_path / 'run', data, live=tiny.QUIET)
  assert {'pretrain', 'constant', 'finetune'} <= set(record['stages'])
  again = run.train(config('critic'), tmp_path / 'run', data, live=tiny.QUIET)
  assert again['stages'] == record['stages']
  assert paper.config().delayed == 'drop'

"""Permutation importance of made-up predictors, whose importance is known."""

import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import labelled
from rmtl_jax.library import field_importance
from rmtl_jax.results import list_starts

SPEC = types.FeatureSpec(
  categorical=(40, 2),
  multi_valued=((6, 1), (4, 3)),
  numeric=2,
  num_tasks=2,
  names=('user', 'flag', 'one', 'tags'),
  numeric_names=('price', 'age'),
)
CONFIG = config_lib.EvaluationConfig(bootstrap=200)


def _rows(sessions: int = 400, length: int = 4) -> field_importance.Rows:
  """`flag` decides the first task, `user` of the session the second."""
  rng = np.random.default_rng(0)
  rows = sessions * length
  session = np.repeat(np.arange(sessions), length)
  user = rng.integers(0, 40, sessions)[session]
  flag = rng.integers(0, 2, rows)
  numeric = rng.normal(size=(rows, 2)).astype(np.float32)
  numeric[:, 1] = numeric[session * length, 1]
  inputs = types.Inputs(
    np.stack([user, flag], axis=1).astype(np.int32),
    rng.integers(-1, 4, (rows, 4)).astype(np.int32),
    numeric,
    time=np.arange(rows, dtype=np.int32),
  )
  labels = np.stack([flag, user % 2], axis=1).astype(np.float32)
  return field_importance.Rows(
    inputs, labelled.Labelled(labels, session, ('click', 'order'))
  )


def _predict(inputs):
  """0.9 where the deciding field says 1, else 0.1."""
  user, flag = np.asarray(inputs.categorical).T
  says = np.stack([flag, user % 2], axis=1)
  return np.where(says, 0.9, 0.1).astype(np.float32)


def _measured(rows, predict=_predict, repeats=5, seed=0, config=CONFIG):
  columns = list_starts.columns(SPEC)
  return field_importance.Importance(
    predict, rows, columns, config, repeats, seed
  )


def _part(*names):
  return field_importance.Part('+'.join(names), names)


@pytest.fixture(scope='module')
def rows():
  return _rows()


def test_a_field_that_alone_decides_loses_all(rows):
  measured = _measured(rows)
  assert measured.base['click']['auc'] == 1.0
  assert measured.base['click']['logloss'] == pytest.approx(-np.log(0.9))
  found = measured.measure(_part('flag'))
  assert found['between'] == 'rows'
  click, order = found['tasks']['click'], found['tasks']['order']
  # A random half is right: AUC 1/2, logloss the mean of log 0.9 and log 0.1.
  assert click['auc'] == pytest.approx(0.5, abs=0.02)
  low, high = click['auc_interval']
  assert low < click['auc'] < high and high - low < 0.1 and low < 0.5 < high
  expected = 0.5 * np.log(0.9 / 0.1)
  assert click['logloss'] == pytest.approx(expected, rel=0.05)
  low, high = click['logloss_interval']
  assert low < expected < high
  assert len(click['auc_repeats']) == 5
  assert np.mean(click['auc_repeats']) == pytest.approx(click['auc'])
  assert (order['auc'], order['auc_interval']) == (0.0, [0.0, 0.0])


def test_a_field_of_the_session_is_exchanged_between_sessions(rows):
  seen = []
  measured = _measured(
    rows, lambda inputs: seen.append(inputs) or _predict(inputs)
  )
  found = measured.measure(_part('user'))
  assert found['between'] == 'sessions'
  assert found['tasks']['order']['auc'] == pytest.approx(0.5, abs=0.05)
  assert found['tasks']['click']['auc'] == 0.0
  for inputs in seen[1:]:
    user = inputs.categorical[:, 0].reshape(-1, 4)
    assert (user == user[:, :1]).all()  # still one per session
    before = rows.inputs.categorical[::4, 0]
    assert (user[:, 0] != before).any()
    np.testing.assert_array_equal(np.sort(user[:, 0]), np.sort(before))
  # Few sessions tell little: the interval is wider than of as many rows.
  widths = [
    np.ptp(measured.measure(_part(name))['tasks'][task]['auc_interval'])
    for name, task in (('user', 'order'), ('flag', 'click'))
  ]
  assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize('name', ['one', 'tags', 'price', 'age'])
def test_a_field_that_nothing_reads_loses_exactly_nothing(rows, name):
  seen = []
  measured = _measured(
    rows, lambda inputs: seen.append(inputs) or _predict(inputs)
  )
  found = measured.measure(_part(name))
  assert found['between'] == ('sessions' if name == 'age' else 'rows')
  for of in found['tasks'].values():
    assert of['auc'] == of['logloss'] == 0.0
    assert of['auc_interval'] == of['logloss_interval'] == [0.0, 0.0]
  kind, where = list_starts.columns(SPEC)[name]
  inputs = seen[1]
  for other in ('categorical', 'multi_valued', 'numeric'):
    changed = (getattr(inputs, other) != getattr(rows.inputs, other)).any(0)
    expected = np.zeros(len(changed), bool)
    if other == kind:
      expected[where] = True
    np.testing.assert_array_equal(changed, expected)


def test_fields_of_a_group_keep_each_others_company(rows):
  seen = []
  measured = _measured(
    rows, lambda inputs: seen.append(inputs) or _predict(inputs)
  )
  found = measured.measure(_part('user', 'price'))
  assert found['between'] == 'rows'  # price varies within sessions
  pairs = [
    set(
      zip(x.categorical[:, 0].tolist(), x.numeric[:, 0].tolist(), strict=True)
    )
    for x in (rows.inputs, seen[1])
  ]
  assert pairs[0] == pairs[1]
  assert (seen[1].numeric != rows.inputs.numeric)[:, 0].any()
  both = measured.measure(_part('user', 'age'))
  assert both['between'] == 'sessions'

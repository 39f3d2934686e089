import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rmtl_jax.serving.monitoring import judge, thresholds
from tests import tiers
from tests.serving.monitoring import live

THRESHOLDS = thresholds.Thresholds()


def _alarms(model, log):
  return judge.compare(model, log, THRESHOLDS)['alarms']


@pytest.mark.parametrize('rows', tiers.some((30, 200, 2000), (200,)))
@pytest.mark.parametrize('clustered', tiers.some((False, True), (True,)))
def test_a_log_as_in_training_raises_hardly_an_alarm(rows, clustered):
  rng = np.random.default_rng(rows + clustered)
  draws, alarmed = 60, []
  for seed in range(draws):
    model = live.trained(seed % 4)
    alarmed += [_alarms(model, live.log(rng, rows, clustered))]
  # 1 % is meant; of 60 draws 4 would be more than that by far.
  assert sum(map(bool, alarmed)) <= 3, alarmed


@hypothesis.settings(deadline=None, max_examples=25)
@hypothesis.given(
  rows=strategies.integers(1, 40), seed=strategies.integers(0, 1000)
)
def test_any_few_rows_are_judged(rows, seed):
  rng = np.random.default_rng(seed)
  record = judge.compare(live.trained(0), live.log(rng, rows), THRESHOLDS)
  for of in record['fields']:
    assert np.isfinite(
      [of['psi'] or 0.0, of['chance'] or 0.0, of['test']]
    ).all()


def _with_field(log, name, **changes):
  changed = dataclasses.replace(log.fields[name], **changes)
  return dataclasses.replace(log, fields={**log.fields, name: changed})


def test_what_moves_is_named_and_nothing_else():
  rng = np.random.default_rng(1)
  model, log = live.trained(0), live.log(rng, 3000)
  group = np.where(rng.random(3000) < 0.4, 7, log.fields['item'].group)
  (line,) = _alarms(model, _with_field(log, 'item', group=group))
  assert line.startswith("field 'item': PSI ")


def test_unseen_and_missing_values_raise_alarms():
  rng = np.random.default_rng(1)
  model, log = live.trained(0), live.log(rng, 3000)
  blank = log.fields['shop'].blank | (rng.random(3000) < 0.3)
  (line,) = _alarms(model, _with_field(log, 'shop', blank=blank))
  assert line.startswith("field 'shop': ") and 'not in the vocabulary' in line
  (line,) = _alarms(model, _with_field(log, 'price', missing=900))
  assert line == (
    "field 'price': 30.0% of the rows have no value (in training at most 0.0%)"
  )


def test_a_few_unseen_values_are_no_alarm():
  """Every third value is unseen; all of one row, or of one user, often are."""
  rng = np.random.default_rng(5)
  model = live.trained(0)
  of = model.reference['fields']['item']['blank']
  of |= dict.fromkeys(of, 0.33)
  for rows, users in ((1, 1), (2, 2), (3, 2), (60, 2)):
    log = dataclasses.replace(
      live.log(rng, rows), cluster=np.arange(rows) % users
    )
    blank = np.ones(rows, bool)
    log = _with_field(log, 'item', blank=blank)
    few = judge.compare(model, log, THRESHOLDS)
    assert not few['fields'][0]['alarms'], rows
  log = dataclasses.replace(live.log(rng, 60), cluster=np.arange(60) // 4)
  many = _with_field(log, 'item', blank=np.ones(60, bool))
  assert judge.compare(model, many, THRESHOLDS)['fields'][0]['alarms']
  # Never in training, once here: no chance, but of one row one.
  of |= dict.fromkeys(of, 0.0)
  one = _with_field(live.log(rng, 1), 'item', blank=np.ones(1, bool))
  assert judge.compare(model, one, THRESHOLDS)['fields'][0]['alarms']


def test_what_the_test_rows_had_already_is_no_alarm():
  rng = np.random.default_rng(2)
  model, log = live.trained(0), live.log(rng, 3000)
  moved = _with_field(log, 'item', group=np.full(3000, 7))
  of = model.reference['fields']['item']
  of['counts']['test'] = [1 if i == 7 else 0 for i in range(live.ITEMS + 1)]
  of['counts']['test'][7] = 3000
  assert not [line for line in _alarms(model, moved) if 'PSI' in line]


def test_a_model_that_is_off_is_found_by_its_labels():
  rng = np.random.default_rng(3)
  model, log = live.trained(0), live.log(rng, 5000)
  click = (rng.random(5000) < 2 * log.predictions['click']).astype(float)
  lines = _alarms(model, dataclasses.replace(log, labels={'click': click}))
  assert any('click: predicted / actual' in line for line in lines)
  # Without any relation to the predictions the rate is right, and AUC falls.
  click = rng.permutation(log.labels['click'])
  lines = _alarms(model, dataclasses.replace(log, labels={'click': click}))
  assert any('click: AUC is 0.' in line for line in lines)
  assert not any('predicted / actual' in line for line in lines)


def test_no_positive_at_all_is_an_alarm_where_some_were_expected():
  rng = np.random.default_rng(3)
  for rows, alarm in ((5000, True), (20, False)):
    model, log = live.trained(0), live.log(rng, rows)
    log = dataclasses.replace(log, labels={'click': np.zeros(rows)})
    assert bool(_alarms(model, log)) == alarm


def test_labels_that_have_not_come_count_for_nothing():
  rng = np.random.default_rng(4)
  model, log = live.trained(0), live.log(rng, 3000)
  click = np.where(np.arange(3000) < 1000, log.labels['click'], np.nan)
  whole = judge.compare(
    model, dataclasses.replace(log, labels={'click': click}), THRESHOLDS
  )
  (found,) = whole['labels']
  assert found['rows'] == 1000
  none = dataclasses.replace(log, labels={'click': np.full(3000, np.nan)})
  (found,) = judge.compare(model, none, THRESHOLDS)['labels']
  assert found['rows'] == 0 and not found['alarms']
  assert set(found['metrics'].values()) == {None}


def test_weights_count_as_in_the_metrics_of_the_test_rows():
  """A row of weight 2 is the row twice, and one of weight 0 is not there."""
  rng = np.random.default_rng(4)
  model, log = live.trained(0), live.log(rng, 3000)
  weights = dict.fromkeys(log.labels, rng.integers(0, 3, 3000).astype(float))
  (click, buy) = judge.compare(
    model, dataclasses.replace(log, weights=weights), THRESHOLDS
  )['labels']
  times = weights['click'].astype(int)
  for found in (click, buy):
    y, p = (
      np.repeat(of[found['task']], times)
      for of in (log.labels, log.predictions)
    )
    expected = judge.figures(y, p, True)
    # Bins of equal mass may cut a row in two.
    del expected['calibration_error']
    assert {name: found['metrics'][name] for name in expected} == (
      pytest.approx(expected)
    )
    assert found['rows'] == np.count_nonzero(times)
    assert not found['alarms']

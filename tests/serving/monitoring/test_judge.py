import dataclasses

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies

from rmtl_jax import types
from rmtl_jax.serving.monitoring import judge, scored, thresholds
from tests import tiers
from tests.serving.monitoring import live

THRESHOLDS = thresholds.Thresholds()


def _alarms(model, log):
  return judge.compare(model, log, THRESHOLDS)['alarms']


@pytest.mark.parametrize('rows', tiers.some((30, 200, 2000), (30, 200)))
@pytest.mark.parametrize('clustered', [False, True])
def test_a_log_as_in_training_raises_hardly_an_alarm(rows, clustered):
  rng = np.random.default_rng(rows + clustered)
  draws, alarmed = 60, []
  for seed in range(draws):
    model = live.trained(seed % 4)
    alarmed += [_alarms(model, live.log(rng, rows, clustered))]
  # 1 % is meant; of 60 draws 4 would be more than that by far.
  assert sum(map(bool, alarmed)) <= 3, alarmed


def test_few_test_rows_are_no_reason_for_an_alarm():
  rng = np.random.default_rng(0)
  for seed in range(10):
    model = live.trained(seed, test=60)
    assert not _alarms(model, live.log(rng, 1000))


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


def test_a_row_more_or_less_of_what_is_nearly_gone_is_no_alarm():
  """All items of the test rows were new but one, all of the log's are."""
  model, log = live.trained(0), live.log(np.random.default_rng(2), 3000)
  of = model.reference['fields']['item']
  of['counts']['test'] = [1999, *[0] * (live.ITEMS - 1), 1]
  of['counts']['train'][-1] = 30_000  # rare ones, of which one is left
  gone = _with_field(log, 'item', group=np.zeros(3000, int))
  found = judge.compare(model, gone, THRESHOLDS)['fields'][0]
  assert found['psi'] - found['test'] > 2 * THRESHOLDS.psi
  assert not [line for line in found['alarms'] if 'PSI' in line]
  # With half of the test rows new, a log of nothing else is beyond them.
  of['counts']['test'] = [1000, *[0] * (live.ITEMS - 1), 1000]
  found = judge.compare(model, gone, THRESHOLDS)['fields'][0]
  assert found['test'] > THRESHOLDS.psi
  assert [line for line in found['alarms'] if 'PSI' in line]


def test_parts_of_the_time_raise_no_alarm_by_their_drift():
  model, log = live.trained(0), live.log(np.random.default_rng(2), 3000)
  hour = dataclasses.replace(
    live.MANIFEST.fields[0], details={'from_time': 'hour'}
  )
  manifest = dataclasses.replace(
    model.manifest, fields=(hour, *live.MANIFEST.fields[1:])
  )
  moved = _with_field(log, 'item', group=np.full(3000, 7))
  assert _alarms(model, moved)
  assert not _alarms(model._replace(manifest=manifest), moved)


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


def test_no_positive_is_no_alarm_where_the_test_rows_had_none():
  model, log = live.trained(0), live.log(np.random.default_rng(3), 5000)
  of = model.reference['tasks']['buy']
  of['metrics'] |= {'positives': 0, 'predicted_over_actual': None, 'auc': None}
  none = dataclasses.replace(log, labels={'buy': np.zeros(5000)})
  assert not judge.compare(model, none, THRESHOLDS)['alarms']


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


def test_a_threshold_decides():
  rng = np.random.default_rng(1)
  model, log = live.trained(0), live.log(rng, 3000)
  group = np.where(rng.random(3000) < 0.1, 7, log.fields['item'].group)
  moved = _with_field(log, 'item', group=group)
  assert not _alarms(model, moved)
  assert judge.compare(model, moved, thresholds.Thresholds(psi=0.02))['alarms']


def test_a_field_without_values_is_judged():
  empty = np.zeros(0, int)
  log = _with_field(
    live.log(np.random.default_rng(0), 50),
    'item',
    group=empty.astype(np.uint8),
    row=empty,
    blank=empty.astype(bool),
  )
  assert isinstance(log, scored.Scored)
  assert not _alarms(live.trained(0), log)


def test_a_frame_is_no_log(tmp_path):
  with pytest.raises(
    types.InputError, match=r'^log: a dict, expected the path'
  ):
    judge.monitor(tmp_path, {'price': [1.0]})

"""What a run says in words, by hand."""

import dataclasses
import types

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns
from rmtl_jax.results import summary
from tests import tiny


def test_tasks_of_one_class_are_said():
  labels = np.array([[0, 0, 1], [1, 0, 1]], np.float32)
  assert summary.one_class_warnings(labels[:, :1], ['a']) == []
  (line,) = summary.one_class_warnings(labels[:, :2], ['a', 'b'])
  assert line == (
    'validation: b has one class only, so its AUC is undefined; early stopping'
    ' looks at a alone'
  )
  (line,) = summary.one_class_warnings(labels, ['a', 'b', 'c'])
  assert 'b, c have one class only, so their AUC' in line


def _warnings(*entries, weighting='critic'):
  return summary.history_warnings(entries, weighting)


def _entry(stage, **figures):
  return {'stage': stage, 'epoch': 1, **figures}


def test_steps_that_were_left_out_are_counted_by_stage():
  lines = _warnings(
    _entry('pretrain', skipped_steps=2),
    _entry('pretrain'),
    _entry('pretrain', skipped_steps=3),
    _entry('critic', td_error=1.0),
    _entry('critic', td_error=1.0, skipped_steps=1, member=1),
  )
  assert [line.split(' because')[0] for line in lines] == [
    'pretrain: 5 steps were left out',
    'member 2: critic: 1 steps were left out',
  ]


def test_the_baseline_does_not_react_to_the_scale_of_weights(tmp_path):
  manifest = tiny.write_prepared(tmp_path, sessions=60)
  train, test = (
    columns.read_split(tmp_path, manifest, name) for name in ('train', 'test')
  )
  draw = np.random.default_rng(0).integers(0, 4, train.labels.shape)
  config = config_values.from_dict({'evaluation': {'bootstrap': 0}})

  def auc(scale):
    weight = (scale * draw).astype(np.float32)
    weighed = dataclasses.replace(train, sample_weight=weight)
    found = summary.rate_baseline(weighed, test, manifest, config)
    return found['click']['auc']

  assert auc(2.0**-20) == auc(1.0) == auc(2.0**20)


def test_critics_whose_error_rises_diverge():
  errors = [0.5, 0.2, 0.9, 2.0]
  entries = [_entry('critic', td_error=e) for e in errors]
  assert _warnings(*entries) == []
  (line,) = _warnings(*entries, _entry('critic', td_error=2.1))
  assert line == (
    'critic: the critics diverge: their TD error has risen from 0.2 to 2.1'
  )
  (line,) = _warnings(
    _entry('finetune', td_error=0.1), _entry('finetune', td_error=3.0)
  )
  assert line.startswith('finetune: the critics diverge')


def test_weights_that_hardly_vary_are_told():
  weights = {'weight_mean_click': 2.0, 'weight_mean_buy': 2.0}
  entry = _entry(
    'finetune',
    **weights,
    weight_deviation_click=0.0019,
    weight_deviation_buy=0.0021,
  )
  (line,) = _warnings(entry)
  assert line.startswith('finetune: the weights of click hardly varied')
  assert _warnings(entry, weighting='constant_mean') == []
  assert _warnings({**entry, 'stage': 'constant'}) == []


def test_each_critic_that_failed_is_named():
  tasks = ('click', 'buy')
  record = {
    name: dict.fromkeys(tasks, 1.5)
    for name in ('mean_q', 'std_q', 'zero_share', 'mean_return')
  }
  record['collapsed'] = {'click': True, 'buy': False}
  record['diverged'] = {'click': False, 'buy': True}
  lines = summary.critic_warnings(record)
  assert [line.split(' (')[0] for line in lines] == [
    'the critic of click has collapsed',
    'the critic of buy has diverged',
  ]
  # Files of earlier versions do not say.
  del record['diverged']
  assert len(summary.critic_warnings(record)) == 1


def test_models_that_predict_the_same_are_evaluated_once(monkeypatch):
  calls = []

  def evaluate(predictions, *_):
    calls.append(float(predictions[0, 0]))
    return {'click': {'auc': float(predictions[0, 0])}}

  monkeypatch.setattr(summary.evaluator, 'evaluate', evaluate)
  split = types.SimpleNamespace(
    sample_weight=None,
    sampling=None,
    parents=(),
    labels=None,
    session=None,
    user=None,
    oracle=None,
    losses=(),
  )
  constants = {'a': 0.1, 'b': 0.2, 'c': 0.1}
  values = {n: np.full((2, 1), v) for n, v in constants.items()}
  found = summary.stages(values, split, ('click',), config_lib.Config())
  assert calls == [0.1, 0.2]
  assert found['stages']['a'] == found['stages']['c'] != found['stages']['b']
  found['stages']['a']['click']['auc'] = None
  assert found['stages']['c']['click']['auc'] == 0.1


def test_curves_by_hand():
  # Two sessions, of two rows and of one.
  split = types.SimpleNamespace(
    starts=np.array([0, 2, 3]), rows=3, sample_weight=None
  )
  q_values = np.array([[-1.0], [-3.0], [-1.0]], np.float32)
  weights = np.array([[2.0], [0.5], [4.0]], np.float32)
  found = summary.curves(q_values, split, ('a',), weights, bins=2)
  assert found['weight_by_step'] == {'a': [3.0, 0.5]}
  assert found['q_histogram'] == {
    'a': {'edges': [-3.0, -2.0, -1.0], 'counts': [1, 2]}
  }


def test_weights_of_rows_without_the_label_are_in_no_curve():
  split = types.SimpleNamespace(
    starts=np.array([0, 2, 4]),
    rows=4,
    sample_weight=np.array([[2, 0, 0], [1, 0, 1], [0, 0, 0], [1, 0, 0]]),
  )
  weights = np.repeat(np.array([[2.0], [0.5], [4.0], [1.5]]), 3, axis=1)
  found = summary.curves(-weights, split, ('a', 'b', 'c'), weights)
  # No first row of a session tells of b and c.
  assert found['weight_by_step'] == {'a': [2.0, 1.0], 'b': [], 'c': []}

"""How often intervals hold the truth, by simulation.

pytest tests/evaluation/test_coverage.py -m long -n 0 -s
"""

import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.evaluation import (
  bootstrap,
  importance,
  intervals,
  labelled,
  metrics,
)

DATA_SETS = 500
CONFIDENCE = 0.95
# Sessions, share of positives: about 20, 40, 150, 20 and 700 positives.
SCENARIOS = ((400, 0.01), (400, 0.02), (400, 0.1), (2000, 0.002), (2000, 0.1))


def simulate(sessions, rate, generator):
  """Rows of sessions that depend on each other, and two models of them.

  Returns:
    (two models' probabilities f64[R, 1], labels f64[R, 1], session i64[R]).
  """
  sizes = np.minimum(generator.geometric(0.2, sessions), 30)
  session = np.repeat(np.arange(sessions), sizes)
  rows = len(session)
  # What both models see of a session and of a row, and what none of them sees.
  seen, hidden = generator.normal(size=(2, sessions))[:, session]
  row = generator.normal(size=rows)
  logits = np.log(rate) + 0.9 * seen + 0.6 * row + 0.8 * hidden - 0.9
  labels = generator.random(rows) < 1.0 / (1.0 + np.exp(-logits))
  models = []
  for noise in (0.0, 0.15):
    guess = np.log(rate) + 0.9 * seen + 0.6 * row - 0.3
    guess += noise * generator.normal(size=rows)
    models.append((1.0 / (1.0 + np.exp(-guess)))[:, None])
  return models, labels[:, None].astype(np.float64), session


def figures(models, labels, session):
  """{metric: [model's value, difference of the two]}."""
  values = {
    'auc': [metrics.auc(labels[:, 0], p[:, 0]) for p in models],
    'logloss': [metrics.logloss(labels[:, 0], p[:, 0]) for p in models],
    'session_logloss': [
      metrics.session_logloss(labels[:, 0], p[:, 0], session) for p in models
    ],
  }
  return {name: (v[0], v[0] - v[1]) for name, v in values.items()}


@pytest.mark.long
@pytest.mark.parametrize(('sessions', 'rate'), SCENARIOS)
def test_intervals_hold_the_truth_as_often_as_they_say(sessions, rate):
  truth = figures(*simulate(300_000, rate, np.random.default_rng(0)))
  held = {(name, i): 0 for name in truth for i in (0, 1)}
  positives = []
  for seed in range(1, DATA_SETS + 1):
    generator = np.random.default_rng([seed, sessions])
    models, labels, session = simulate(sessions, rate, generator)
    positives.append(labels.sum())
    rows = labelled.Labelled(labels, session, ['click'])
    predicted = list(map(labelled.Predicted, models))
    values = bootstrap.replicates(predicted, rows, 1000, seed)
    (rarer,) = intervals.rarer_sessions(rows)
    for name, v in values.items():
      for i, drawn in enumerate((v[:, 0, 0], v[:, 0, 0] - v[:, 1, 0])):
        low, high = intervals.percentile_interval(
          drawn, CONFIDENCE, intervals.clusters(name, sessions, int(rarer))
        )
        held[name, i] += low <= truth[name][i] <= high
  error = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / DATA_SETS)
  print(f'\n{sessions} sessions, {np.mean(positives):.0f} positives')
  for (name, i), count in held.items():
    of = 'difference' if i else 'one model'
    share = count / DATA_SETS
    print(f'  {name}, {of}: {100 * share:.1f} % +- {100 * error:.1f}')
  # The bootstrap is no exact method; beyond that, chance.
  for share in np.array(list(held.values())) / DATA_SETS:
    assert abs(share - CONFIDENCE) < 0.02 + 2.0 * error


def _measure(sessions, bootstrap, seed):
  """Importance of a field of the row and one of the session, known to both."""
  generator = np.random.default_rng([seed, sessions])
  session = np.repeat(
    np.arange(sessions), generator.integers(1, 8, size=sessions)
  )
  of_session, hidden = generator.normal(size=(2, sessions))[:, session]
  numeric = np.stack([generator.normal(size=len(session)), of_session], axis=1)

  def predict(inputs):
    logits = 0.7 * np.asarray(inputs.numeric).sum(1, keepdims=True) - 1.0
    return 1.0 / (1.0 + np.exp(-logits))

  empty = np.zeros((len(session), 0), np.int32)
  inputs = types.Inputs(empty, empty, numeric)
  odds = np.exp(0.7 * numeric.sum(1) - 1.0 + 0.5 * hidden)
  labels = generator.random(len(session)) < odds / (1.0 + odds)
  measured = importance.Importance(
    predict,
    importance.Rows(inputs, labels[:, None].astype(np.float32), session),
    types.FeatureSpec((), (), 2, 1, numeric_names=('row', 'session')),
    ('click',),
    config_lib.EvaluationConfig(bootstrap),
    repeats=5,
    seed=seed,
  )
  return {
    name: measured.measure(importance.Part(name, (name,)))['tasks']['click']
    for name in ('row', 'session')
  }


@pytest.mark.long
def test_intervals_of_importance_hold_the_truth():
  truth, data_sets = _measure(200_000, 0, 0), 300
  held = {(n, m): 0 for n in truth for m in ('auc', 'logloss')}
  for seed in range(1, data_sets + 1):
    found = _measure(120, 400, seed)
    for name, metric in held:
      low, high = found[name][f'{metric}_interval']
      held[name, metric] += low <= truth[name][metric] <= high
  error = np.sqrt(CONFIDENCE * (1 - CONFIDENCE) / data_sets)
  for (name, metric), count in held.items():
    share = count / data_sets
    print(f'  importance of a field of the {name}, {metric}: {100 * share:.1f}')
    assert abs(share - CONFIDENCE) < 0.02 + 2.0 * error

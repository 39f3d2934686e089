"""A Ranker as scikit-learn uses estimators."""

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import types
from tests.library import small
from tests.library.test_ranker import CONFIG, TASKS, ranker, without_labels

pandas = pytest.importorskip('pandas')
base = pytest.importorskip('sklearn.base')
metrics = pytest.importorskip('sklearn.metrics')
selection = pytest.importorskip('sklearn.model_selection')
pipeline = pytest.importorskip('sklearn.pipeline')
preprocessing = pytest.importorskip('sklearn.preprocessing')

pytestmark = pytest.mark.slow

ONE_EPOCH = {**CONFIG, 'pretrain.max_epochs': 1}


@pytest.fixture(scope='module')
def log():
  return pandas.DataFrame(small.table())


@pytest.fixture(scope='module')
def model(log):
  one = ranker(tasks=(), config=ONE_EPOCH)
  return small.quietly(one.fit, log.drop(columns=[*TASKS]), log[[*TASKS]])


def test_labels_may_come_apart(log, model):
  together = small.quietly(ranker(config=ONE_EPOCH).fit, log)
  rows = log.drop(columns=[*TASKS])
  expected = model.predict_proba(rows)
  np.testing.assert_array_equal(together.predict_proba(rows), expected)
  assert model.tasks_ == TASKS
  aucs = [
    metrics.roc_auc_score(log[task], expected[:, k])
    for k, task in enumerate(TASKS)
  ]
  for y in (None, log[[*TASKS]], log[[*TASKS]].to_numpy()):
    x = log if y is None else rows
    assert model.score(x, y) == pytest.approx(np.mean(aucs), abs=1e-6)
  for x, y, told in (
    (log, log[['click']], "column 'click' is in X too"),
    (rows, log[['click']][:5], 'has 5 rows, X has 400'),
    (rows, np.zeros((400, 3)), r'shape \(400, 3\)'),
  ):
    with pytest.raises(types.InputError, match=told):
      model.score(x, y)


def test_searches_folds_and_pipelines(log):
  x, y = log.drop(columns=[*TASKS]), log[[*TASKS]]
  twice = preprocessing.FunctionTransformer(
    lambda rows: rows.assign(price=2 * rows['price'])
  )
  piped = pipeline.Pipeline(
    [
      ('twice', twice),
      ('ranker', ranker(tasks=(), config=ONE_EPOCH)),
    ]
  )
  found = selection.GridSearchCV(
    piped, {'ranker__config__seed': [0, 1]}, cv=2, error_score='raise'
  )
  small.quietly(found.fit, x, y)
  assert found.cv_results_['mean_test_score'].std() > 0
  assert found.predict_proba(x[:5]).shape == (5, 2)
  scores = small.quietly(
    lambda: selection.cross_val_score(
      ranker(tasks=(), config=ONE_EPOCH),
      x,
      y,
      cv=selection.TimeSeriesSplit(2),
      error_score='raise',
    )
  )
  assert np.all((scores > 0) & (scores < 1))


def test_parameters_are_read_and_set():
  one = ranker(verbose=True)
  other = base.clone(one)
  assert other is not one and other.get_params() == one.get_params()
  assert other.set_params(verbose=False, config__seed=4).config['seed'] == 4
  assert one.verbose and 'seed' not in one.config
  for name in ('sed', 'verbose__a'):
    with pytest.raises(types.InputError, match=f'Ranker.{name}'):
      other.set_params(**{name: 4})


def test_one_row_is_what_the_history_gives_and_takes_no_query(
  tmp_path, monkeypatch
):
  fitted = small.quietly(ranker(prepare={}).fit, small.table())
  fitted.save(tmp_path / 'saved')
  loaded = rmtl_jax.load(tmp_path / 'saved')
  row = without_labels(small.table(), slice(-1, None))
  expected = loaded.predict_proba(row, small.table())
  monkeypatch.setattr(
    loaded.model_, 'keep_history', lambda log: pytest.fail('queried')
  )
  for _ in range(2):
    np.testing.assert_allclose(loaded.predict_proba(row), expected, atol=1e-6)

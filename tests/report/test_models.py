"""Which models of a run are rows of its tables."""

from rmtl_jax.report import models


def of(auc):
  return {'click': {'auc': auc, 'logloss': 0.25}}


def record(kept=(0.6, 0.6), epochs=(0, 0), **changes):
  """A run; AUC and kept epoch of the control and of RMTL."""
  constant, finetune = kept
  return {
    'weighting': 'critic',
    'stages': {
      'pretrain': of(0.6),
      'constant': of(constant),
      'finetune': of(finetune),
    },
    'best_epoch': {
      'pretrain': 4,
      **dict(zip(('constant', 'finetune'), epochs, strict=True)),
    },
    **changes,
  }


def labels(record):
  return [row.label for row in models.models(record)]


def test_models_that_are_the_same_are_one():
  assert labels(record(baseline=of(0.5), oracle=of(0.9))) == [
    'user rate x item rate',
    'pre-trained = control = RMTL (kept: epoch 0)',
    'oracle',
  ]


def test_the_papers_model_stands_after_the_rates():
  paper = {'backbone': 'esmm', 'metrics': of(0.55)}
  found = record(baseline=of(0.5), paper_model=paper)
  assert labels(found)[:3] == [
    'user rate x item rate',
    "paper's model: esmm",
    'pre-trained = control = RMTL (kept: epoch 0)',
  ]
  assert models.models(found)[1].metrics == of(0.55)


def test_figures_are_calibrated_where_there_are_such():
  found = models.models(record(calibrated={'finetune': of(0.7)}))
  assert [row.metrics for row in found] == [of(0.6), of(0.7)]


def test_arms_stand_by_the_epoch_that_was_kept():
  assert labels(record((0.6, 0.62), (0, 2))) == [
    'pre-trained = control (kept: epoch 0)',
    'RMTL (kept: epoch 2)',
  ]
  assert labels(record((0.61, 0.62), (2, 2))) == [
    'pre-trained',
    'control (kept: epoch 2)',
    'RMTL (kept: epoch 2)',
  ]

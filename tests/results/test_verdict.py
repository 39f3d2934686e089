"""What a run says of weighting and of its critics."""

import pytest

from rmtl_jax.results import verdict


def record(click=0.0, conversion=0.0, half=0.0002, **changes):
  """A finished run; differences to the control, intervals of +- half."""
  of = {
    task: {'auc': d, 'auc_interval': [d - half, d + half]}
    for task, d in (('click', click), ('conversion', conversion))
  }
  return {
    'weighting': 'critic',
    'start': 'pretrained',
    'tasks': ['click', 'conversion'],
    'stages': {'pretrain': {}, 'constant': {}, 'finetune': {}},
    'difference': {'finetune_minus_constant': of},
    **changes,
  }


@pytest.mark.parametrize(
  ('differences', 'half', 'said'),
  [
    # Below 5e-4 nothing counts, however narrow the interval.
    ((0.0004, -0.0004), 0.0002, 'neither on click and conversion'),
    ((0.0006, -0.0004), 0.0002, 'gain on click; neither on conversion'),
    ((0.0006, 0.0007), 0.0002, 'gain on click and conversion'),
    ((-0.0006, 0.0007), 0.0002, 'gain on conversion; loss on click'),
    # Nor where the interval has 0.
    ((0.0006, -0.02), 0.03, 'neither on click and conversion'),
    ((0.0006, 0.0), 0.0006, 'neither on click and conversion'),
  ],
)
def test_the_headline_says_gain_loss_or_neither(differences, half, said):
  assert verdict.headline(record(*differences, half=half)) == (
    f'RMTL against its control in this run: {said} (one seed; rmtl compare'
    ' decides).'
  )


def test_what_predicts_is_one_line():
  of = {'click': {'auc': 0.002, 'auc_interval': [-0.001, 0.005]}}
  chosen = {'stage': 'pretrain', 'difference': of}
  assert verdict.prediction(record(served=chosen)) == [
    'Predictions are those of stage 1: on validation RMTL does not beat it by'
    ' more than the interval (AUC click +0.0020 (-0.0010 to +0.0050, which'
    ' includes 0)).'
  ]
  assert verdict.prediction(record(served={'stage': 'pretrain'})) == []


def test_the_figures_behind_the_headline():
  (line,) = verdict.details(record(0.0006, -0.0001))
  assert line == (
    "AUC minus the control's: click +0.0006 (+0.0004 to +0.0008); conversion"
    ' -0.0001 (-0.0003 to +0.0001, which includes 0). Less than 0.0005 does not'
    ' count.'
  )


def test_what_the_critics_knew_is_said_per_task():
  critic = {
    'r2': {'click': 0.31249, 'conversion': None},
    'collapsed': {'click': False, 'conversion': True},
  }
  found = verdict.sentences(record(critic=critic))
  assert len(found) == 3
  assert 'click 0.312; conversion undefined (collapsed)' in found[2]
  alone = record(critic=critic, stages={'pretrain': {}})
  assert verdict.sentences(alone) == found[2:]

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
    'finetuned_at': {
      'epoch': 2,
      'difference': {'finetune_minus_constant': of},
    },
    **changes,
  }


@pytest.mark.parametrize(
  ('differences', 'said'),
  [
    # Below 5e-4 nothing counts, however narrow the interval.
    ((0.0004, -0.0004), 'No difference that counts was found between RMTL and'),
    ((0.0006, -0.0004), 'RMTL ranked better on click than its control in this'),
    ((0.0006, 0.0007), 'RMTL ranked better on click and conversion than its'),
    ((-0.0006, 0.0007), 'better on conversion and worse on click than its'),
    ((0.0001, -0.0007), 'RMTL ranked worse on conversion than its control in'),
  ],
)
def test_the_headline_follows_the_least_effect(differences, said):
  line = verdict.headline(record(*differences))
  assert said in line
  assert line.endswith('in this run (one seed; rmtl compare decides).')


def test_an_interval_with_zero_decides_nothing():
  wide = record(0.0006, -0.02, half=0.03)
  assert verdict.headline(wide).startswith(
    'RMTL and its control can not be told apart in this run'
  )
  narrow = record(0.0006, 0.0, half=0.0006)
  assert 'can not be told apart' in verdict.headline(narrow)
  narrow = record(0.0006, 0.0, half=0.0005)
  assert 'ranked better on click' in verdict.headline(narrow)


def test_the_figures_are_those_of_the_same_number_of_epochs():
  kept = {'finetune_minus_constant': {}}
  (line,) = verdict.details(record(0.0006, -0.0001, difference=kept))
  assert line == (
    "AUC minus the control's, both after 2 epochs of fine-tuning: click +0.0006"
    ' (+0.0004 to +0.0008); conversion -0.0001 (-0.0003 to +0.0001, which'
    ' includes 0). Less than 0.0005 does not count.'
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

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

"""What a search says in words."""

from rmtl_jax.report import tuning

BEST = {'network.dropout': 0.1}
MORE = {'network.dropout': 0.3, 'network.ignore': 'rates'}


def trial(value, settings, **more):
  return {
    'settings': settings,
    'validation_auc': value,
    'by_seed': [value, value],
    'pruned': False,
    **more,
  }


def entry(settings, gain, error=0.001, passes=False):
  return {
    'settings': settings,
    'by_seed': [0.7 + gain] * 4,
    'gain': gain,
    'standard_error': error,
    'halves': [
      {'gain': 0.004, 'standard_error': 0.002},
      {'gain': -0.005, 'standard_error': 0.002},
    ],
    'passes': passes,
  }


def record(**changes):
  return {
    'backbone': 'mmoe',
    'seeds': [0, 1],
    'confirm_seeds': [2, 3, 4, 100],
    'trials': [
      trial(0.70, {}),
      trial(0.69, {'network.dropout': 0.5}, pruned=True, by_seed=[0.69]),
      trial(0.0, {'network.dropout': 0.6}, pruned=True, by_seed=[]),
      trial(0.72, BEST),
      trial(0.71, MORE),
    ],
    'confirmed': [
      entry({}, 0.0),
      entry(BEST, 0.0123, passes=True),
      entry(MORE, 0.0010, 0.0020),
    ],
    'chosen': BEST,
    'base_kept': False,
    'method': 'mmoe:network.dropout=0.1',
    **changes,
  }


def test_what_was_chosen_and_what_to_do_next():
  text = tuning.text(record())
  assert (
    'Chosen: network.dropout=0.1, gain +0.0123 +- 0.0010 on validation over 4'
    ' fresh seeds.' in ' '.join(text.split())
  )
  # Seeds that nothing has used.
  assert (
    'rmtl compare --methods=mmoe:network.dropout=0.1 --seeds=101,102,' in text
  )
  for part in (
    '(as given)',
    '0.6900 (1 seed)',
    'diverged',
    '-0.0050 +- 0.0020',
  ):
    assert part in text
  # What was confirmed is told by its rank among the trials, and fits.
  rows = [line.split() for line in text.splitlines()]
  assert ['1', '0.7123', '+0.0123', '+-', '0.0010'] in [r[:5] for r in rows]
  assert ['3', '0.7000'] in rows
  assert text.count('network.dropout=0.3') == 1
  told, _ = text.split('  rmtl compare')
  assert max(map(len, told.splitlines())) <= 80

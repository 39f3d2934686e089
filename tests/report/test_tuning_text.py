"""What a search says in words."""

from rmtl_jax.report import tuning_text

BEST = {'network.dropout': 0.1}


def trial(value, settings, **more):
  return {
    'settings': settings,
    'validation_auc': value,
    'by_seed': [value, value],
    'pruned': False,
    **more,
  }


def entry(settings, gain, passes=False):
  return {
    'settings': settings,
    'by_seed': [0.7 + gain] * 4,
    'gain': gain,
    'standard_error': 0.001,
    'passes': passes,
  }


def test_the_choice_and_the_next_command():
  record = {
    'backbone': 'mmoe',
    'ensemble': 1,
    'monitor': 'auc',
    'seeds': [0, 1],
    'confirm_seeds': [2, 3, 4, 100],
    'trials': [
      trial(0.70, {}),
      trial(0.69, {'network.dropout': 0.5}, pruned=True, by_seed=[0.69]),
      trial(0.0, {'network.dropout': 0.6}, pruned=True, by_seed=[]),
      trial(0.72, BEST),
    ],
    'confirmed': [entry({}, 0.0), entry(BEST, 0.0123, passes=True)],
    'chosen': BEST,
    'base_kept': False,
    'method': 'mmoe:network.dropout=0.1',
  }
  text = tuning_text.text(record)
  for part in (
    *('(as given)', '0.6900 (pruned)', 'diverged', '+0.0123 ± 0.0010'),
    # Seeds that nothing has used.
    'rmtl compare --methods=mmoe:network.dropout=0.1 --seeds=101,102,',
  ):
    assert part in text
  assert 'gain +0.0123 ± 0.0010' in tuning_text.decision(record)
  told, _ = text.split('  rmtl compare')
  assert max(map(len, told.splitlines())) <= 80

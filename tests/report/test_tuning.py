"""What a search says in words."""

import pytest

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


def test_an_ensemble_is_compared_from_its_own_settings():
  method = 'ple:network.crosses=segment*brand'
  text = tuning.text(record(ensemble=3, method=method), 'runs/tuned')
  assert 'mmoe, ensemble of 3, 4 trials' in text
  assert (
    f"rmtl compare --methods='{method}' --config=runs/tuned/config.json"
    ' --seeds=101,' in text
  )


KEPT = {'chosen': {}, 'base_kept': True, 'method': 'mmoe'}


def test_settings_that_alone_were_tried_are_kept():
  kept = record(**KEPT, confirmed=[])
  kept['trials'] = kept['trials'][:1]
  told = 'Kept the settings you started from: no others were tried.'
  assert tuning.decision(kept) == told


@pytest.mark.parametrize(
  ('changes', 'expected'),
  [
    (
      {'confirmed': [entry({}, 0.0), entry(MORE, 0.001, 0.002)]},
      'Kept the settings you started from: no trial beat them by more than'
      ' seed noise over 4 fresh seeds.',
    ),
    (
      {'confirmed': [entry({}, 0.0), entry(MORE, 0.01, 0.002)]},
      'Kept the settings you started from: over 4 fresh seeds a trial beat'
      ' them, but lost in one half of the validation period.',
    ),
    (
      {'confirmed': []},
      'Kept the settings you started from: no trial was better with the'
      " search's own seeds.",
    ),
  ],
)
def test_why_nothing_was_chosen(changes, expected):
  kept = record(**KEPT, **changes)
  assert tuning.decision(kept) == expected
  text = tuning.text(kept)
  assert 'rmtl compare' not in text
  assert max(map(len, text.splitlines())) <= 80
  assert expected in ' '.join(text.split())


def test_without_a_confirmation():
  believed = record(confirmed=[], confirm_seeds=[])
  text = tuning.text(believed)
  assert 'Chosen: network.dropout=0.1, not confirmed with fresh seeds.' in text
  assert '--seeds=100,101,' in text


def test_a_search_by_logloss_says_so():
  def low(value, settings):
    return {
      'settings': settings,
      'validation_logloss': value,
      'by_seed': [value, value],
      'pruned': False,
    }

  text = tuning.text(
    record(
      monitor='logloss',
      trials=[low(0.90, {}), low(0.88, BEST), low(0.89, MORE)],
    )
  )
  assert 'mean validation relative logloss' in text and 'AUC' not in text
  # The lowest comes first.
  assert text.index('0.8800') < text.index('0.9000')


def test_the_tables_fit_the_width_whatever_is_monitored(monkeypatch):
  monkeypatch.setenv('COLUMNS', '80')
  of = record(monitor='logloss')
  for one in of['trials']:
    one['validation_logloss'] = one['validation_auc']
  text = tuning.text(of)
  tables = text.partition('Chosen:')[0]
  assert 'relative' in tables and '…' not in tables
  assert max(map(len, tables.splitlines())) <= 80

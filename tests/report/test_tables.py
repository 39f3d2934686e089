import pytest

from rmtl_jax.report import pictures, tables


def _metrics(auc):
  return {
    'click': {
      'auc': auc,
      'auc_interval': [auc - 0.1, auc + 0.1],
      'logloss': 0.25,
      'session_logloss': 0.26,
    }
  }


def _record(**changes):
  difference = {'click': {'auc': 0.01, 'auc_interval': [-0.01, 0.03]}}
  return {
    'backbone': 'ple',
    'weighting': 'critic',
    'seed': 3,
    'split': 'test',
    'tasks': ['click'],
    'baseline': _metrics(0.55),
    'stages': {
      'pretrain': _metrics(0.6),
      'constant': _metrics(0.61),
      'finetune': _metrics(0.62),
    },
    'oracle': _metrics(0.8),
    'difference': {'finetune_minus_constant': difference},
    'best_epoch': {'pretrain': 2, 'constant': 1, 'finetune': 1},
    'warnings': [],
    **changes,
  }


def test_every_model_has_a_row():
  text = tables.text(tables.metrics_table(_record()))
  lines = [line for line in text.splitlines() if 'click' in line]
  assert [line.split()[-3] for line in lines] == [
    '0.6500',
    '0.7000',
    '0.7100',
    '0.7200',
    '0.9000',
  ]
  assert 'oracle' in lines[-1] and 'control' in lines[2]
  assert 'RMTL' in lines[3] and '0.6200' in lines[3]


def test_models_from_scratch_are_not_said_to_be_fine_tuned():
  text = tables.text(tables.metrics_table(_record(start='scratch')))
  assert text.count('from scratch, ') == 2 and 'fine-tuned' not in text


def test_calibrated_models_have_their_logloss_in_a_column():
  calibrated = {
    stage: {'click': {'logloss': loss}}
    for stage, loss in (('pretrain', 0.211), ('finetune', None))
  }
  text = tables.text(tables.metrics_table(_record(calibrated=calibrated)))
  assert 'calibrated' in text
  last = [line.split()[-1] for line in text.splitlines() if 'click' in line]
  # Neither the baseline, the control nor the oracle has been calibrated here.
  assert last == ['0.2600', '0.2110', '0.2600', 'undefined', '0.2600']
  assert 'calibrated' not in tables.text(tables.metrics_table(_record()))


def test_undefined_metrics_are_said_to_be():
  undefined = {'click': dict.fromkeys(_metrics(0.5)['click'])}
  record = _record(stages={'pretrain': undefined}, difference={})
  text = tables.text(tables.metrics_table(record))
  assert 'undefined' in text


def test_sentences_say_what_the_interval_includes():
  lines = tables.sentences(_record())
  assert 'click +0.0100 (-0.0100 to +0.0300, which includes 0)' in lines[0]
  assert 'One seed' in lines[1]


@pytest.mark.parametrize(
  ('weighting', 'name'), [('critic', 'RMTL'), ('advantage', 'advantage')]
)
def test_sentences_say_when_fine_tuning_was_of_no_use(weighting, name):
  record = _record(
    best_epoch={'pretrain': 2, 'constant': 0, 'finetune': 0},
    weighting=weighting,
  )
  assert any(
    line.startswith(f'The control and {name} kept')
    for line in tables.sentences(record)
  )


def test_warnings_are_loud():
  lines = tables.sentences(_record(warnings=['the critic has collapsed']))
  assert lines[-1] == 'WARNING: the critic has collapsed.'


def test_draws_that_are_left_out_are_counted():
  record = _record()
  assert 'left out' not in ' '.join(tables.sentences(record))
  for stage in record['stages'].values():
    stage['click']['undefined_draws'] = 3
  (said,) = [s for s in tables.sentences(record) if 'left out' in s]
  assert said.endswith('are left out of its interval: 3 of click.')


def test_picture_with_and_without_critics(tmp_path):
  history = [
    {'stage': 'pretrain', 'epoch': e, 'validation_auc_click': 0.5 + e / 10}
    for e in (1, 2)
  ]
  curves = {
    'weight_by_step': {'click': [1.5, 1.2]},
    'q_histogram': {'click': {'edges': [-2, -1, 0], 'counts': [3, 5]}},
  }
  for name, record in (('a', _record()), ('b', _record(curves=curves))):
    path = tmp_path / 'report' / f'{name}.png'
    pictures.overview(record, history, path)
    assert path.read_bytes().startswith(b'\x89PNG')


def test_what_an_ensemble_gained_is_said():
  members = {'click': {'auc': [0.60, 0.61], 'logloss': [0.27, 0.25]}}
  record = _record(
    ensemble=2,
    members={'finetune': members},
    best_epoch={'pretrain': [2, 1], 'constant': [0, 0], 'finetune': [0, 1]},
  )
  assert '(seed 3, ensemble of 2)' in tables.text(tables.metrics_table(record))
  found = tables.sentences(record)
  assert (
    'Ensemble against the mean of its 2 members: click AUC +0.0150 (members'
    ' 0.6000 to 0.6100); click logloss -0.0100 (members 0.2500 to 0.2700).'
  ) in found
  (kept,) = [line for line in found if 'kept the pre-trained' in line]
  assert kept.startswith('The control kept')


def test_an_undefined_metric_of_a_member_is_left_out():
  members = {'click': {'auc': [None, 0.61], 'logloss': [None, 0.25]}}
  record = _record(ensemble=2, members={'finetune': members})
  assert not [s for s in tables.sentences(record) if 'Ensemble' in s]

import warnings

import matplotlib.figure
import pytest

from rmtl_jax.evaluation import monitor
from rmtl_jax.report import pictures, tables
from tests.report.run import example


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


def _rows(record):
  """The printed table's lines with figures, split."""
  text = tables.text(tables.metrics_table(record))
  return [line.split() for line in text.splitlines() if '0.2' in line]


def test_every_model_has_a_row():
  rows = _rows(_record())
  assert [row[-2:] for row in rows] == [
    ['0.5500', '0.2500'],
    ['0.6000', '0.2500'],
    ['0.6100', '0.2500'],
    ['0.6200', '0.2500'],
    ['0.8000', '0.2500'],
  ]
  names = [' '.join(row[:-2]) for row in rows]
  assert names[1:] == [
    'pre-trained',
    'control (kept: epoch 1)',
    'RMTL (kept: epoch 1)',
    'oracle',
  ]


def test_tasks_that_do_not_fit_stand_below_each_other():
  tasks = ('click', 'conversion', 'a_third_task_of_a_long_name')
  record = example.build(tasks)['metrics']
  text = tables.text(tables.metrics_table(record))
  assert max(map(len, text.splitlines())) <= 80
  lines = [line.split() for line in text.splitlines()]
  assert ['task', 'model', 'AUC', 'GAUC', 'logloss'] in lines
  assert [line[0] for line in lines if line[-2:-1] == ['0.8123']] == ['click']
  assert ' '.join(lines[2]) == 'task model AUC logloss'


def test_models_from_scratch_are_not_said_to_be_fine_tuned():
  text = tables.text(tables.metrics_table(_record(start='scratch')))
  assert text.count('from scratch, kept: epoch 1') == 2
  assert 'fine-tuned' not in text


def test_calibrated_models_have_their_calibrated_figures():
  calibrated = {
    stage: {'click': {'auc': auc, 'logloss': 0.2}}
    for stage, auc in (('pretrain', 0.6), ('finetune', None))
  }
  record = _record(calibrated=calibrated)
  assert [row[-2:] for row in _rows(record)] == [
    ['0.5500', '0.2500'],
    ['0.6000', '0.2000'],
    ['0.6100', '0.2500'],
    ['undefined', '0.2000'],
    ['0.8000', '0.2500'],
  ]
  text = tables.text(tables.metrics_table(record))
  assert text.endswith('\nTrained models: calibrated on validation rows.\n')
  assert 'calibrated' not in tables.text(tables.metrics_table(_record()))


def test_undefined_metrics_are_said_to_be():
  undefined = {'click': dict.fromkeys(_metrics(0.5)['click'])}
  record = _record(stages={'pretrain': undefined}, difference={})
  text = tables.text(tables.metrics_table(record))
  assert 'undefined' in text


def _last(epoch):
  """Stage 3 after its last epoch."""
  by_task = {'click': {'auc': 0.001, 'auc_interval': [0.0005, 0.0015]}}
  return {
    'epoch': epoch,
    'stages': {'constant': _metrics(0.63), 'finetune': _metrics(0.64)},
    'difference': {'finetune_minus_constant': by_task},
  }


def test_sentences_begin_with_the_verdict():
  first, figures, kept, seed = tables.sentences(_record(finetuned_at=_last(3)))
  assert first.startswith('RMTL ranked better on click than its control')
  assert 'click +0.0010 (+0.0005 to +0.0015)' in figures
  # Which is not what was kept.
  assert kept == (
    'As kept, AUC against the control with constant weights: click +0.0100'
    ' (-0.0100 to +0.0300, which includes 0).'
  )
  assert seed.startswith('One seed says little')


def test_what_the_verdict_told_is_not_told_again():
  assert len(tables.sentences(_record(finetuned_at=_last(1)))) == 2
  # An earlier version knows the kept epochs alone.
  first, figures = tables.sentences(_record())
  assert 'can not be told apart' in first
  assert 'click +0.0100 (-0.0100 to +0.0300, which includes 0)' in figures
  same = dict.fromkeys(('pretrain', 'constant', 'finetune'), _metrics(0.6))
  found = tables.sentences(_record(stages=same, finetuned_at=_last(3)))
  assert not any('As kept' in line for line in found)


def test_lines_fit_the_terminal():
  long = 'a/' + 'path' * 30
  lines = tables.wrapped(f'{"some words " * 20}{long} end').splitlines()
  assert [len(line) <= 80 for line in lines] == [True, True, True, False, True]
  assert long in lines


@pytest.mark.parametrize(
  ('weighting', 'name'),
  [('critic', 'RMTL'), ('advantage', 'RMTL'), ('negative_q', 'negative_q')],
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


def test_a_letter_that_no_font_has_is_no_warning(tmp_path):
  figure = matplotlib.figure.Figure()
  figure.suptitle('点击')
  with warnings.catch_warnings():
    warnings.simplefilter('error')
    pictures.save(figure, tmp_path / 'a.png')
  assert (tmp_path / 'a.png').read_bytes().startswith(b'\x89PNG')


@pytest.mark.parametrize('count', [1, 2, 6])
def test_the_legend_of_the_picture_hides_no_interval(
  tmp_path, monkeypatch, count
):
  tasks = [f'_a_task_{i}' for i in range(count)]
  metrics = {task: _metrics(0.5)['click'] for task in tasks}
  stages = dict.fromkeys(('pretrain', 'constant', 'finetune'), metrics)
  figures = []
  monkeypatch.setattr(
    pictures, 'save', lambda figure, _: figures.append(figure)
  )
  record = _record(
    tasks=tasks, baseline=metrics, stages=stages, oracle=metrics, difference={}
  )
  pictures.overview(record, [], tmp_path / 'a.png')
  (figure,) = figures
  figure.canvas.draw()
  axes = figure.axes[0]
  named = [text.get_text().strip() for text in axes.get_legend().get_texts()]
  assert named == tasks
  legend = axes.get_legend().get_window_extent()
  top = axes.transData.transform((0.5, 0.0))[1]  # of the first row
  assert top < legend.y0 and legend.x0 > axes.get_window_extent().x0
  assert legend.y1 <= axes.get_window_extent().y1


def test_stage_3_follows_the_epoch_that_was_kept():
  points = [(1, 0.6), (2, 0.8), (3, 0.7)]
  record = _record(best_epoch={'pretrain': [3, 1]})
  assert pictures.kept_point(record, 0, points) == (3, 0.7)
  assert pictures.kept_point(record, 1, points) == (1, 0.6)
  record = _record(best_epoch={'pretrain': 1})
  assert pictures.kept_point(record, None, points) == (1, 0.6)
  # A run that starts from another, or with trees, may keep what it began with.
  record = _record(best_epoch={'pretrain': 0})
  assert pictures.kept_point(record, None, points) is None


def test_learning_curves_have_what_is_monitored():
  history = [
    {'stage': 'pretrain', 'epoch': e, 'validation_auc_click': 0.5 + e / 10}
    for e in (1, 2)
  ]
  found, lines = pictures.validation_lines(history, ['click', 'other'])
  assert found is monitor.AUC
  assert lines == {('pretrain', None): [(1, 0.6), (2, 0.7)]}
  history = [
    {**entry, 'validation_logloss': value}
    for entry, value in zip(history, (0.9, 0.8), strict=True)
  ]
  found, lines = pictures.validation_lines(history, ['click'])
  assert found is monitor.LOGLOSS
  assert lines['pretrain', None] == [(1, 0.9), (2, 0.8)]


def test_members_have_a_table():
  members = {'click': {'auc': [0.60, 0.61], 'logloss': [0.27, 0.25]}}
  record = _record(
    ensemble=2,
    members={'finetune': members},
    member_names=['seed 3', 'without ids'],
    member_weights={'finetune': {'click': [0.25, 0.75]}},
    best_epoch={'pretrain': [2, 1], 'constant': [0, 0], 'finetune': [0, 1]},
  )
  assert '(seed 3, ensemble of 2)' in tables.text(tables.metrics_table(record))
  found = tables.sentences(record)
  members = tables.members_table(record)
  assert members.header == ('member', 'click: weight', 'click: AUC')
  assert members.rows == [
    ('seed 3', '0.25', '0.6000'),
    ('without ids', '0.75', '0.6100'),
  ]
  (kept,) = [line for line in found if 'kept the pre-trained' in line]
  assert kept.startswith('The control kept')


def test_a_run_of_one_model_has_no_members():
  assert tables.members_table(_record()) is None


def test_a_table_shows_what_a_task_has():
  watch = {'kind': 'regression', 'xauc': 0.7123, 'mae': 21.54, 'rmse': 40.0}

  def both(auc):
    return {**_metrics(auc), 'watch': watch}

  record = _record(
    tasks=['click', 'watch'],
    baseline=both(0.55),
    stages={'pretrain': both(0.6)},
    oracle=both(0.8),
    difference={},
  )
  text = tables.text(tables.metrics_table(record))
  assert 'XAUC' in text
  assert 'MAE' in text
  lines = [line.split() for line in text.splitlines() if 'pre-trained' in line]
  assert [cell for line in lines for cell in line if cell[:1].isdigit()] == [
    *('0.6000', '0.2500', '0.7123', '21.54'),
  ]

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

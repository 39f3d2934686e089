"""Rows of a run's tables, its picture and its page."""

import json

import pytest

from rmtl_jax import types
from rmtl_jax.report import pages, run_report
from tests import tiny
from tests.report import reading


def of(auc):
  return {
    'click': {
      'auc': auc,
      'auc_interval': [auc - 0.1, auc + 0.1],
      'logloss': 0.25,
    }
  }


def example(kept=(0.61, 0.62), epochs=(1, 1), **changes):
  """A record; AUC and kept epoch of the control and of RMTL."""
  constant, finetune = kept
  return {
    'backbone': 'ple',
    'weighting': 'critic',
    'seed': 3,
    'split': 'test',
    'tasks': ['click'],
    'baseline': of(0.55),
    'stages': {
      'pretrain': of(0.6),
      'constant': of(constant),
      'finetune': of(finetune),
    },
    'oracle': of(0.8),
    'best_epoch': {
      'pretrain': 4,
      **dict(zip(('constant', 'finetune'), epochs, strict=True)),
    },
    'warnings': [],
    **changes,
  }


def labels(record):
  return [name for name, _ in run_report.models(record)]


def test_every_model_has_a_row_and_equal_ones_share_it():
  paper = {'backbone': 'esmm', 'metrics': of(0.57)}
  assert labels(example((0.6, 0.6), (0, 0), paper_model=paper)) == [
    'user rate x item rate',
    "paper's model: esmm",
    'pre-trained = control = RMTL (kept: epoch 0)',
    'oracle',
  ]
  assert labels(example((0.6, 0.62), (0, 2)))[1:-1] == [
    'pre-trained = control (kept: epoch 0)',
    'RMTL (kept: epoch 2)',
  ]
  table = run_report.overview(example())
  assert [row[2:] for row in table.rows] == [
    (auc, '0.2500')
    for auc in ('0.5500', '0.6000', '0.6100', '0.6200', '0.8000')
  ]


def test_a_table_shows_what_a_task_has():
  watch = {'kind': 'regression', 'xauc': 0.7123, 'mae': 21.54, 'rmse': 40.0}

  def both(auc):
    return {**of(auc), 'watch': watch}

  record = example(
    tasks=['click', 'watch'],
    baseline=both(0.55),
    stages={'pretrain': both(0.6)},
    oracle=both(0.8),
  )
  table = run_report.overview(record)
  assert table.header[2:] == ('AUC', 'logloss', 'XAUC', 'MAE')
  assert table.rows[1][2:] == ('0.6000', '0.2500', '-', '-')
  assert table.rows[4][2:] == ('-', '-', '0.7123', '21.54')


def test_the_page_has_the_figures(paper_run):
  path, record = (
    paper_run[0],
    json.loads((paper_run[0] / 'metrics.json').read_text()),
  )
  found = reading.Reader(pages.html(run_report.page(path)))
  for task in tiny.TASKS:
    (table,) = (rows for c, rows in found.tables.items() if f'{task}, w' in c)
    names = [row[0] for row in table]
    assert names[1] == 'user rate x item rate' and names[-1] == 'oracle'
    shown = [row[1] for row in table]
    for stage in record['stages'].values():
      assert any(cell.startswith(f'{stage[task]["auc"]:.4f}') for cell in shown)
  settings = found.tables["Settings that differ from the paper's"]
  assert ['pretrain.max_epochs', '2', '20'] in settings
  assert len(found.pictures) == 4 and all(found.pictures)


def test_refuses_what_is_no_run(tmp_path):
  with pytest.raises(types.InputError, match='not a run'):
    run_report.page(tmp_path)

"""What a report of a run is made of, without a run."""

from __future__ import annotations

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values

STAGES = ('pretrain', 'constant', 'finetune')


def build(tasks=('click', 'conversion'), **changes):
  """A record as results/report_record.py gathers it, of made-up figures.

  Args:
    tasks: their names.
    changes: of its entries.
  """
  config = config_values.from_dict({'pretrain': {'max_epochs': 3}})
  record = {
    'name': 'first',
    'config': config_values.flatten(config),
    'defaults': config_values.flatten(config_lib.Config()),
    'data': {
      'source': 'simulated',
      'fields': [['user', 'categorical', 1200], ['price', 'numeric', 0]],
      'splits': {
        name: {
          'rows': 200,
          'sessions': 50,
          'positives': {task: 20 + i for i, task in enumerate(tasks)},
        }
        for name in ('train', 'validation', 'test')
      },
    },
    'stages': ['pretrain', 'critic', 'constant', 'finetune'],
    'metrics': _metrics(tasks),
    'history': _history(tasks),
    'reliability': {
      'stage': 'finetune',
      'points': {task: _points() for task in tasks},
    },
    'weights': {
      'lambdas': [0.7],
      'by_position': {
        task: {
          'mean': [1.5, 1.75],
          'low': [1.25, 1.5],
          'high': [2.0, 2.25],
          'rows': [50, 40],
        }
        for task in tasks
      },
    },
    'drift': [],
    'ended': True,
    'missing': '',
  }
  return {**record, **changes}


def _values(auc):
  return {
    'rows': 200,
    'positives': 20,
    'auc': auc,
    'auc_interval': [auc - 0.0123, auc + 0.0123],
    'logloss': auc / 2,
    'logloss_interval': [auc / 2 - 0.01, auc / 2 + 0.01],
    'session_logloss': auc / 3,
    'session_logloss_interval': None,
    'gauc': None,
    'pr_auc': 0.3131,
    'calibration_error': 0.0456,
    'predicted_over_actual': 1.2345,
  }


def _metrics(tasks):
  def models(auc):
    return {task: _values(auc + 0.001 * k) for k, task in enumerate(tasks)}

  def per_task(value):
    return {task: value for task in tasks}

  difference = {
    name: 0.0021 for name in ('auc', 'logloss', 'session_logloss')
  } | {'auc_interval': [-0.0011, 0.0033]}
  return {
    'split': 'test',
    'backbone': 'mmoe',
    'weighting': 'critic',
    'form': 'critic',
    'start': 'pretrained',
    'seed': 3,
    'tasks': list(tasks),
    'baseline': models(0.5512),
    'stages': {s: models(0.6212 + 0.01 * i) for i, s in enumerate(STAGES)},
    # Lists have no oracle.
    'oracle': {
      task: {name: v for name, v in of.items() if name != 'gauc'}
      for task, of in models(0.8123).items()
    },
    'calibrated': {'finetune': models(0.6412)},
    'calibration': {'finetune': per_task({'kind': 'platt'})},
    'served': {'stage': 'finetune', 'difference': per_task(difference)},
    'difference': {'finetune_minus_constant': per_task(difference)},
    'best_epoch': {'pretrain': 2, 'constant': 1, 'finetune': 0},
    'finetuned_at': {
      'epoch': 2,
      'stages': {'constant': models(0.6301), 'finetune': models(0.6317)},
      'difference': {
        'finetune_minus_constant': per_task(
          {**difference, 'auc': 0.0016, 'auc_interval': [0.0001, 0.0031]}
        )
      },
    },
    'critic': {
      'mean_q': per_task(-1.25),
      'std_q': per_task(0.5),
      'mean_return': per_task(-1.5),
      'std_return': per_task(0.75),
      'r2': per_task(0.1234),
      'loss_correlation': per_task(0.25),
      'remaining_correlation': per_task(None),
      'zero_share': per_task(0.0),
      'collapsed': {task: k == 0 for k, task in enumerate(tasks)},
      'diverged': per_task(False),
    },
    'curves': {
      'weight_by_step': per_task([1.5, 1.75]),
      'q_histogram': per_task(
        {'edges': [-3.0, -2.0, -1.0, 0.0], 'counts': [1, 3, 2]}
      ),
    },
    'warnings': [f'the critic of {tasks[0]} has collapsed'],
    'versions': {'python': '3.11.7', 'jax': '0.10.2'},
    'device': '1 x cpu (cpu)',
    'seconds': {'pretrain': 12.0, 'critic': 7.0},
  }


def _history(tasks):
  def entry(stage, epoch, **figures):
    aucs = {f'validation_auc_{task}': 0.6 + 0.01 * epoch for task in tasks}
    return {'stage': stage, 'epoch': epoch, 'seconds': 1.5, **aucs, **figures}

  weights = {f'weight_mean_{task}': 1.6 for task in tasks}
  weights |= {f'weight_deviation_{task}': 0.2 for task in tasks}
  return [
    entry('pretrain', 1, loss=0.7),
    entry('pretrain', 2, loss=0.5),
    *(
      {
        'stage': 'critic',
        'epoch': epoch,
        'td_error': 0.5 / epoch,
        'validation_td_error': 0.6 / epoch,
        'seconds': 2.0,
      }
      for epoch in (1, 2)
    ),
    entry('constant', 1, loss=0.4),
    entry('finetune', 1, loss=0.4, td_error=0.2, **weights),
  ]


def _points():
  point = {'rows': 100, 'low': 0.05, 'high': 0.4}
  return [
    {**point, 'predicted': 0.1, 'actual': 0.1},
    {**point, 'predicted': 0.3, 'actual': 0.25},
  ]

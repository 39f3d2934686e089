"""The sentences of a run's page: names of its models, and its weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.weighting import registry

Record = Mapping[str, Any]

BASELINE, ORACLE = 'rate baseline', 'oracle'


def stage_names(metrics: Record) -> dict[str, str]:
  """Short names of the models after each actor stage."""
  weighting = metrics['weighting']
  return {
    'pretrain': 'pre-trained',
    'constant': 'constant weights',
    'finetune': registry.short(weighting),
  }


def models(metrics: Record) -> list[tuple[str, Mapping[str, Any]]]:
  """Pairs of (short name, metrics per task), in the order of tables.rows."""
  found = []
  if 'baseline' in metrics:
    found.append((BASELINE, metrics['baseline']))
  for stage, name in stage_names(metrics).items():
    if stage in metrics['stages']:
      found.append((name, metrics['stages'][stage]))
  if 'oracle' in metrics:
    found.append((ORACLE, metrics['oracle']))
  return found


def key(metrics: Record) -> list[str]:
  """Explains the short names of `models`, one line each."""
  names, scratch = stage_names(metrics), metrics.get('start') == 'scratch'
  how = 'stage 3 from scratch' if scratch else 'stage 3'
  weighting = registry.label(metrics['weighting'], metrics.get('form', ''))
  meanings = {
    BASELINE: 'user rate x item rate, no network',
    names['pretrain']: 'after stage 1',
    names['finetune']: f'{how}, {weighting}',
    names['constant']: f'{how} without critics, the control',
    ORACLE: "the simulation's true probabilities",
  }
  return [f'{name}: {meanings[name]}' for name, _ in models(metrics)]


def weights(record: Record) -> list[str]:
  """Describes the weights that are shown, and their rows.

  Args:
    record: from results/report_record.gather.
  """
  config, metrics = record['config'], record['metrics']
  record_of = registry.find(metrics['weighting'])
  if record_of.objective is not None:
    return [f'{record_of.label}: no loss is weighed by row.']
  if record_of.make is None:
    return ['Every weight is 1: this run has no critics.']
  shuffles = record_of.takes == registry.LINK
  shown = registry.find(metrics.get('form') or 'critic')
  shown = shown if shuffles else record_of
  is_set = '' if shown.lambda_ == registry.NONE else f'; {_lambda(record)}'
  what = ', shuffled over the rows' if shuffles else ''
  lines = [f'Shown: {shown.formula}{what}{is_set}.']
  if shown.relative:
    lines.append(
      'Means and deviations are over the validation rows here, over the batch'
      ' in training.'
    )
  if config['weighting.max_weight']:
    lines.append(f'No weight is above {config["weighting.max_weight"]:g}.')
  lines.append(
    'They are of the validation rows, by the critics as stage 2 left them, of'
    ' the pre-trained model without dropout: what stage 3 begins with. Line:'
    ' mean; band: from the 10th to the 90th percentile of the rows at that'
    ' position; positions with few rows are left out.'
  )
  learns = config['critic.in_finetune'] == 'learning'
  if learns and record_of.asks_every_step:
    lines.append(
      'In stage 3 the critics learn on and the model moves; the table below has'
      ' the weights that its epochs applied.'
    )
  return lines


def _lambda(record: Record) -> str:
  config = record['config']
  values = record['weights'].get('lambdas') or [config['weighting.lambda_']]
  text = f'lambda = {", ".join(f"{v:.4g}" for v in dict.fromkeys(values))}'
  if config['weighting.meta_learning_rate']:
    text += ' (learnt, at the epoch that was kept)'
  if config['weighting.lambda_warmup_steps']:
    text += f' after {config["weighting.lambda_warmup_steps"]} steps of warmup'
  if config['weighting.lambda_schedule'] != 'constant':
    text += f' before its {config["weighting.lambda_schedule"]} fall to 0'
  return text

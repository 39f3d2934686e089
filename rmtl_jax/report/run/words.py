"""The sentences of a run's page: what its models and its weights are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from rmtl_jax.report import models
from rmtl_jax.weighting import registry

Record = Mapping[str, Any]


def key(metrics: Record) -> list[str]:
  """Explains the names of the models, one line each."""
  weighting = registry.label(metrics['weighting'], metrics.get('form', ''))
  meanings = {
    models.BASELINE: 'rates of the train rows, no network',
    models.PAPER: (
      "stage 1 of the paper's sizes, without as-of features (RUN/paper)"
    ),
    'pretrain': 'after stage 1',
    'constant': 'stage 3 without critics: constant weights',
    'finetune': f'stage 3, {weighting}',
    models.ORACLE: "the simulation's true probabilities",
  }
  shown = {
    models.BASELINE: 'baseline' in metrics,
    models.PAPER: 'paper_model' in metrics,
    **{stage: True for stage in metrics['stages']},
    models.ORACLE: 'oracle' in metrics,
  }
  names = models.stage_names(metrics)
  lines = [
    f'{names.get(each, each)}: {meanings[each]}'
    for each, is_there in shown.items()
    if is_there and each in meanings
  ]
  return lines


def weights(record: Record) -> list[str]:
  """Describes the weights that are shown, and their rows."""
  config, metrics = record['config'], record['metrics']
  record_of = registry.find(metrics['weighting'])
  if record_of.ascends_q:
    return [f'{record_of.label}: no loss is weighed by row.']
  if record_of.make is None:
    return ['Every weight is 1: this run has no critics.']
  shuffles = record_of.takes == registry.LINK
  shown = registry.find(metrics.get('form') or 'critic')
  shown = shown if shuffles else record_of
  has_lambda = shown.lambda_ != registry.NONE
  is_set = f'; lambda = {config["weighting.lambda_"]:.4g}' if has_lambda else ''
  what = ', shuffled over the rows' if shuffles else ''
  lines = [f'Shown: {shown.formula}{what}{is_set}.']
  if shown.relative:
    lines.append(
      'Means and deviations are over the validation rows here, over the batch'
      ' in training.'
    )
  lines.append(
    'They are of the validation rows, by the critics as stage 2 left them, of'
    ' the pre-trained model without dropout: what stage 3 begins with.'
  )
  learns = config['critic.in_finetune'] == 'learning'
  if learns and record_of.asks_every_step:
    lines.append(
      'In stage 3 the critics learn on and the model moves; the table below has'
      ' the weights that its epochs applied.'
    )
  return lines

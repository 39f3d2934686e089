"""Which stage predicts: what validation keeps."""

import dataclasses

import numpy as np
import pytest

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.results import verdict
from tests import paper

TASKS = ('click', 'buy')


def split():
  draw, none = np.random.default_rng(3), np.zeros((400, 0), np.float32)
  labels = (draw.random((400, 2)) < 0.4).astype(np.float32)
  number, ids = np.arange(400), np.zeros((400, 0), np.int32)
  return columns_lib.SplitColumns(
    *(ids, ids, none, labels, number // 4, None, number, None),
    *(np.zeros(400, np.int32), np.arange(0, 401, 4)),
  )


def predictions(rows, **strength):
  """Noise that has learnt the labels so far, by stage."""
  noise = np.random.default_rng(0).random(rows.labels.shape)
  return {
    name: (noise + s * rows.labels) / (1 + s) for name, s in strength.items()
  }


@pytest.mark.parametrize(
  ('tuned', 'bootstrap', 'stage'),
  [
    (0.6, 200, 'finetune'),
    (0.2, 200, 'pretrain'),
    (0.1, 200, 'pretrain'),
    # Without an interval nothing is beaten by it.
    (0.6, 0, 'pretrain'),
  ],
)
def test_stage_3_predicts_where_it_beats_stage_1(tuned, bootstrap, stage):
  rows = split()
  config = paper.config()
  config = dataclasses.replace(
    config,
    evaluation=dataclasses.replace(config.evaluation, bootstrap=bootstrap),
  )
  found = predictions(rows, pretrain=0.2, constant=0.6, finetune=tuned)
  chosen = verdict.choose_served(found, rows, TASKS, config)
  assert chosen['stage'] == stage
  assert verdict.served_stage({'served': chosen}) == stage
  del found['pretrain']
  assert verdict.choose_served(found, rows, TASKS, config) == {
    'stage': 'finetune'
  }

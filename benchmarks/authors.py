"""Training side by side with the models of the authors' released code.

    git clone https://github.com/Applied-Machine-Learning-Lab/RMTL theirs
    pip install torch
    python -m benchmarks.authors --code=theirs

The same rows (benchmarks/workload.py's), batch size, widths, experts, dropout
and optimizer settings on both sides; an epoch each, in turn, several times.
Ours is the whole epoch: its plan, gathering, steps. Theirs is their step over
batches that were made beforehand, since their loader needs data that the
repository lacks: model, mean of the tasks' BCE, Adam, and the loss read after
every step, as in their `sltrain`. Predictions are of all rows; theirs without
their lists and metrics. Ratios come with the rate of a matrix product on the
machine, GFLOP a second in float32.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import statistics
import sys
from typing import Any

import numpy as np
from absl import app, flags

from benchmarks import machine, peer, workload
from rmtl_jax import config as config_lib

_PAPER = config_lib.preset('paper')

# Their module and class by backbone, and whether it has experts.
_MODELS = {
  'single_task': ('singletask', 'SingleTaskModel', ()),
  'shared_bottom': ('sharedbottom', 'SharedBottomModel', ()),
  'esmm': ('esmm', 'ESMMModel', ()),
  'omoe': ('omoe', 'OMoEModel', ('expert_num',)),
  'mmoe': ('mmoe', 'MMoEModel', ('expert_num',)),
  'ple': ('ple', 'PLEModel', ('shared_expert_num', 'specific_expert_num')),
  'aitm': ('aitm', 'AITMModel', ()),
}


class Theirs:
  """One backbone by their code."""

  def __init__(self, log: workload.Workload, backbone: str):
    """Makes the model and the batches.

    Args:
      log: the rows.
      backbone: of `_MODELS`; its module is imported from `sys.path`.
    """
    # Optional, so imported where it is used.
    import torch  # pyright: ignore[reportMissingImports]

    torch.set_num_threads(os.cpu_count() or 1)
    self._torch = torch
    network, stage = _PAPER.network, _PAPER.pretrain
    module, name, experts = _MODELS[backbone]
    model = getattr(importlib.import_module(f'slmodels.{module}'), name)
    self._model = model(
      list(log.vocabularies),
      1,
      embed_dim=network.embedding_dim,
      bottom_mlp_dims=network.bottom_units,
      tower_mlp_dims=network.tower_units,
      task_num=log.tasks,
      dropout=network.dropout,
      **{n: network.num_experts // len(experts) for n in experts},
    )
    self._optimizer = torch.optim.Adam(
      self._model.parameters(), lr=stage.learning_rate, weight_decay=stage.l2
    )
    columns, batch = log.columns(), _PAPER.batch
    size = batch.lanes * batch.lane_length
    self._batches = [
      tuple(
        torch.from_numpy(np.ascontiguousarray(x[start : start + size]))
        for x in (
          columns.categorical.astype(np.int64),
          columns.numeric,
          columns.labels,
        )
      )
      for start in range(0, log.rows, size)
    ]

  def train(self) -> None:
    """One epoch of their steps."""
    criterion = self._torch.nn.BCELoss()
    self._model.train()
    for categorical, numeric, labels in self._batches:
      found = self._model(categorical, numeric)
      losses = [criterion(y, labels[:, k]) for k, y in enumerate(found)]
      loss = self._torch.stack(losses).mean()
      self._model.zero_grad()
      loss.backward()
      self._optimizer.step()
      loss.item()

  def predict(self) -> None:
    """Probabilities of every row."""
    self._model.eval()
    with self._torch.no_grad():
      for categorical, numeric, _ in self._batches:
        for found in self._model(categorical, numeric):
          found.numpy()


def measure(
  log: workload.Workload,
  backbone: str,
  repetitions: int,
) -> dict[str, Any]:
  """Rows per second of both, and the median of the pairs' ratios."""
  ours, theirs = peer.Ours(log, backbone), Theirs(log, backbone)
  row: dict[str, Any] = {'backbone': backbone}
  for what in ('train', 'predict'):
    times = machine.interleaved(
      {'ours': getattr(ours, what), 'theirs': getattr(theirs, what)},
      repetitions,
    )
    pairs = zip(times['ours'], times['theirs'], strict=True)
    ratios = sorted(theirs / ours for ours, theirs in pairs)
    row |= {
      f'{what}_ours': log.rows / statistics.median(times['ours']),
      f'{what}_theirs': log.rows / statistics.median(times['theirs']),
      f'{what}_ratio': statistics.median(ratios),
      f'{what}_least': ratios[0],
      f'{what}_most': ratios[-1],
    }
  return row


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values = flags.FLAGS
  sys.path.insert(0, values.code)
  log = workload.Workload(rows=values.rows)
  rows = []
  for backbone in values.backbones:
    rows.append(measure(log, backbone, values.repetitions))
    print(machine.table(rows[-1:]).splitlines()[-1], flush=True)
  print(machine.table(rows))
  machine.write(
    values.output,
    {
      'benchmark': 'authors',
      'rows': values.rows,
      'unit': 'rows per second; ratio = ours / theirs, median of pairs',
      'figures': rows,
      'config': dataclasses.asdict(_PAPER.network),
    },
  )


def define_flags() -> None:
  """Defines the flags."""
  flags.DEFINE_string('code', None, 'Their repository.', required=True)
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_integer('rows', 40_960, 'Rows of an epoch.')
  flags.DEFINE_integer('repetitions', 5, 'Pairs of epochs.')
  flags.DEFINE_list('backbones', list(_MODELS), 'Which.')


if __name__ == '__main__':
  define_flags()
  app.run(main)

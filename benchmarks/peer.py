"""Training side by side with torch-rechub's own multi-task trainer.

    pip install torch torch-rechub
    python -m benchmarks.peer --output=benchmarks/results/peer.json

The same rows (benchmarks/workload.py's), batch size, widths, experts, dropout
and optimizer settings on both sides; one epoch each, in turn, several times.
torch-rechub's trainer runs as it is: its data loader, its loss, its Adam. It
has no critics, so only training and prediction are compared. Its layers
normalise over the batch, ours do not; its ESMM takes no numeric field and
predicts one column more.

`--forms` adds what a PyTorch user can ask for in a line: `compiled` is
torch.compile with the fused Adam, `autocast` that in bfloat16; ours is float32.
Ratios come with the rate of a matrix product on the machine, GFLOP a second in
float32.
"""

from __future__ import annotations

import dataclasses
import os
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine, workload
from rmtl_jax import config as config_lib
from rmtl_jax.evaluation import evaluator, labelled
from rmtl_jax.training import actors, feed

_PAPER = config_lib.preset('paper')


class Ours:
  """One backbone by this package."""

  def __init__(self, log: workload.Workload, backbone: str):
    self.config = dataclasses.replace(_PAPER, backbone=backbone)
    self.context = workload.context(log, self.config)
    arm = actors.pretrain(self.context)['pretrain']
    self._loop, self._state = arm.program, arm.state
    self._epoch = 0

  def train(self) -> None:
    """One epoch: the plan of its batches, gathering, steps."""
    self._epoch += 1
    context = self.context
    for one in feed.dispatches(
      context.train,
      context.epoch('pretrain', self._epoch),
      self.config.batch.steps_per_dispatch,
    ):
      self._state, sums = self._loop(
        self._state,
        one.columns,
        one.extras,
        one.slots,
        one.steps,
        context.draws('pretrain'),
      )
      jax.device_get(sums)

  def predict(self) -> np.ndarray:
    """Probabilities of every row."""
    return self.context.models.predict(
      self.config, self._state.params, self.context.train
    )

  def evaluate(self) -> None:
    """Probabilities and both AUCs of every row."""
    host, tasks = self.context.train.host, self.context.tasks
    rows = labelled.Labelled.of(host, tasks)
    evaluator.validation_auc(self.predict(), rows)


class Theirs:
  """The same backbone by torch-rechub."""

  def __init__(self, log: workload.Workload, backbone: str, form: str):
    # Optional, so imported where it is used.
    import torch  # pyright: ignore[reportMissingImports]
    from torch_rechub.basic import features  # pyright: ignore
    from torch_rechub.trainers import mtl_trainer  # pyright: ignore
    from torch_rechub.utils import data  # pyright: ignore

    torch.set_num_threads(os.cpu_count() or 1)
    network = _PAPER.network
    batch = _PAPER.batch
    columns = log.columns()
    sparse = [
      features.SparseFeature(f'f{i}', size, embed_dim=network.embedding_dim)
      for i, size in enumerate(log.vocabularies)
    ]
    dense = [features.DenseFeature('x', embed_dim=1)]
    x = {
      f.name: columns.categorical[:, i].astype(np.int64)
      for i, f in enumerate(sparse)
    }
    x['x'] = columns.numeric[:, 0]
    labels = columns.labels
    if backbone == 'esmm':  # Its first column is the conditional rate.
      labels = labels[:, [1, 0, 1]]
    generator = data.DataGenerator(x, labels)
    size = batch.lanes * batch.lane_length
    self._loader, self._validation, _ = generator.generate_dataloader(
      x_val=x,
      y_val=labels,
      x_test=x,
      y_test=labels,
      batch_size=size,
    )
    self._directory = tempfile.TemporaryDirectory()
    model = _their_model(backbone, [*sparse, *dense], network)
    stage = _PAPER.pretrain
    self.trainer = mtl_trainer.MTLTrainer(
      model,
      task_types=['classification'] * labels.shape[1],
      optimizer_params={
        'lr': stage.learning_rate,
        'weight_decay': stage.l2,
      },
      n_epoch=1,
      device='cpu',
      model_path=self._directory.name,
    )
    if form != 'plain':
      self.trainer.model = torch.compile(self.trainer.model)
      self.trainer.optimizer = torch.optim.Adam(
        self.trainer.model.parameters(),
        lr=stage.learning_rate,
        weight_decay=stage.l2,
        fused=True,
      )
    # Entered anew for every epoch.
    self._precision = lambda: torch.autocast(
      'cpu', torch.bfloat16, enabled=form == 'autocast'
    )

  def train(self) -> None:
    """One epoch by its own trainer."""
    with self._precision():
      self.trainer.train_one_epoch(self._loader)

  def evaluate(self) -> None:
    """Probabilities and AUCs of every row by its own trainer."""
    with self._precision():
      self.trainer.evaluate(self.trainer.model, self._validation)


def _their_model(
  backbone: str, fields: list[Any], network: config_lib.NetworkConfig
) -> Any:
  """torch-rechub's model of the same sizes."""
  from torch_rechub.models import multi_task  # pyright: ignore

  def mlp(units):
    return {
      'dims': list(units),
      'activation': 'relu',
      'dropout': network.dropout,
    }

  bottom, tower = network.bottom_units, network.tower_units
  types_ = ['classification'] * 2
  if backbone == 'shared_bottom':
    return multi_task.SharedBottom(
      fields, types_, mlp(bottom), [mlp(tower)] * 2
    )
  if backbone == 'esmm':
    # It wants user and item fields apart, and puts them side by side.
    units = mlp((*bottom, *tower))
    return multi_task.ESMM(fields[:3], fields[3:-1], units, units)
  if backbone == 'mmoe':
    return multi_task.MMOE(
      fields, types_, network.num_experts, mlp(bottom), [mlp(tower)] * 2
    )
  if backbone == 'ple':
    half = network.num_experts // 2
    return multi_task.PLE(
      fields,
      types_,
      n_level=len(bottom),
      n_expert_specific=network.num_experts - half,
      n_expert_shared=half,
      expert_params=mlp(bottom),
      tower_params_list=[mlp(tower)] * 2,
    )
  return multi_task.AITM(fields, 2, mlp(bottom), [mlp(tower)] * 2)


def measure(log: workload.Workload, backbone: str, form: str) -> dict[str, Any]:
  """Rows per second of both, and the median of the pairs' ratios."""
  ours, theirs = Ours(log, backbone), Theirs(log, backbone, form)
  row: dict[str, Any] = {'backbone': backbone, 'torch': form}
  for what in ('train', 'evaluate'):
    times = machine.interleaved(
      {'ours': getattr(ours, what), 'theirs': getattr(theirs, what)},
      flags.FLAGS.repetitions,
    )
    pairs = zip(times['ours'], times['theirs'], strict=True)
    row |= {
      f'{what}_ours': log.rows / statistics.median(times['ours']),
      f'{what}_torch_rechub': log.rows / statistics.median(times['theirs']),
      f'{what}_ratio': statistics.median(b / a for a, b in pairs),
    }
  return row


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  log = workload.Workload(rows=flags.FLAGS.rows)
  rows = []
  for backbone in flags.FLAGS.backbones:
    for form in flags.FLAGS.forms:
      begin = time.perf_counter()
      rows.append(measure(log, backbone, form))
      seconds = time.perf_counter() - begin
      print(f'{backbone}, {form}: {seconds:.0f} s', flush=True)
  print(machine.table(rows))
  import importlib.metadata

  machine.write(
    flags.FLAGS.output,
    {
      'benchmark': 'peer',
      'rows': flags.FLAGS.rows,
      'unit': 'rows per second; ratio = ours / torch-rechub, median of pairs',
      'peer': {
        name: importlib.metadata.version(name)
        for name in ('torch', 'torch-rechub')
      },
      'figures': rows,
      'config': dataclasses.asdict(_PAPER.network),
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since authors.py imports this module."""
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_integer('rows', 40_960, 'Rows of an epoch.')
  flags.DEFINE_integer('repetitions', 3, 'Pairs of epochs.')
  flags.DEFINE_list(
    'forms', ['plain'], "torch's: plain, compiled, autocast; comma-separated."
  )
  flags.DEFINE_list(
    'backbones', ['shared_bottom', 'esmm', 'mmoe', 'ple', 'aitm'], 'Which.'
  )


if __name__ == '__main__':
  define_flags()
  app.run(main)

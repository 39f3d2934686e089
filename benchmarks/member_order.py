r"""Order within lists: the rates, each member, and two ways to weight members.

    python -m benchmarks.member_order --workdir=runs/first \
      --workdir=runs/mine --output=benchmarks/results/member_order.json

GAUC of test rows as they stood in lists, each with the past at its list's
start, for stage 1 of finished runs of several members: of the rates, of every
member alone, and of the members' mixture with its weights by logloss (as it
predicts), with equal weights, and with weights that minimise the cross-entropy
of a softmax over each list of validation rows, with equal members as a prior.
"""

from __future__ import annotations

import functools
import pathlib
from typing import Any

import numpy as np
from absl import app, flags, logging
from scipy import optimize, special

from benchmarks import machine
from rmtl_jax import json_files
from rmtl_jax.evaluation import metrics, mixing
from rmtl_jax.results import list_starts, trained_ensemble
from rmtl_jax.runtime import programs, workdir
from rmtl_jax.training import split_data

_RUNS = flags.DEFINE_multi_string('workdir', None, 'RUN.', required=True)
_OUTPUT = flags.DEFINE_string('output', '', 'JSON file for the figures.')
_STAGE = 'pretrain'


def list_weights(
  logits: np.ndarray, labels: np.ndarray, number: np.ndarray
) -> np.ndarray:
  """Weights of members with the lowest cross-entropy within lists.

  Args:
    logits: f64[M, R].
    labels: f32[R], 0 or 1.
    number: i64[R], the row's list.

  Returns:
    f64[M] >= 0, of sum 1.
  """
  _, code = np.unique(number, return_inverse=True)
  count, positives = len(logits), np.bincount(code, labels)
  prior = mixing.prior_cost(len(labels))

  def loss(weights: np.ndarray) -> float:
    scores = np.clip(weights @ logits, -50, 50)
    of_lists = np.log(np.bincount(code, np.exp(scores)))
    distance = weights - 1 / count
    return float(
      positives @ of_lists - labels @ scores + prior * distance @ distance
    )

  found = optimize.minimize(
    loss,
    np.full(count, 1 / count),
    method='SLSQP',
    bounds=[(0.0, 1.0)] * count,
    constraints={'type': 'eq', 'fun': lambda weights: np.sum(weights) - 1.0},
  )
  return found.x


def measure(path: str) -> list[dict[str, Any]]:
  """GAUC within lists of a run's test rows, task by task."""
  run = workdir.read_run(pathlib.Path(path))
  trained = trained_ensemble.restore(run, names=(_STAGE,))
  record = json_files.read(run.path / 'metrics.json')
  rows, logits = {}, {}
  for name in ('validation', 'test'):
    split = split_data.read(run.data_dir, run.manifest, name, run.config.batch)
    lists = list_starts.of(split, run.manifest)
    if lists is None:
      return []
    found = [
      trained.of_member(m, _STAGE, lists.split).predictions
      for m in range(len(trained.members))
    ]
    rows[name] = split.host.labels[lists.rows], lists.number
    logits[name] = special.logit(np.clip(np.stack(found), 1e-7, 1 - 1e-7))
  figures = []
  for k, task in enumerate(run.manifest.task_names):
    labels, number = rows['test']
    gauc = functools.partial(metrics.gauc, labels[:, k], group=number)
    fitted = list_weights(
      logits['validation'][:, :, k].astype(np.float64),
      rows['validation'][0][:, k],
      rows['validation'][1],
    )
    own = trained.weights[_STAGE][:, k]
    test = logits['test'][:, :, k]
    figures.append(
      {
        'data': run.data_dir.name,
        'task': task,
        'rates': record['baseline'][task]['gauc'],
        'members': [gauc(one) for one in test],
        'by_logloss': gauc(own @ test),
        'equal': gauc(np.mean(test, axis=0)),
        'by_lists': gauc(fitted @ test),
        'weights': {'by_logloss': own.tolist(), 'by_lists': fitted.tolist()},
      }
    )
  return figures


@programs.in_32_bits
def main(_: list[str]) -> None:
  """Prints the table, writes the file."""
  logging.set_verbosity(logging.WARNING)
  figures = [figure for path in _RUNS.value for figure in measure(path)]
  lines = []
  for figure in figures:
    names = ('rates', 'by_logloss', 'equal', 'by_lists')
    line = {'data': figure['data'], 'task': figure['task']}
    line |= {name: f'{figure[name]:.4f}' for name in names}
    members = '  '.join(f'{one:.4f}' for one in figure['members'])
    lines.append(line | {'members': members})
  print(machine.table(lines))
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'member_order',
      'unit': 'GAUC within lists of test rows, one seed, stage 1',
      'figures': figures,
    },
  )


if __name__ == '__main__':
  app.run(main)

"""Whether a rising map, fitted on validation, calibrates tasks of numbers.

    PYTHONPATH=. python benchmarks/number_calibration.py --workdir=RUN

Of each regression task of a run: predictions of the test rows as they are and
after four maps that validation rows fit by Poisson's deviance. All keep XAUC:
`scale` (p times a number), `power` (the same of a power of p: Platt scaling on
the logarithm), `held` (that, held towards the identity: what runs have,
rmtl_jax/evaluation/power.py) and `isotonic` (any rising function; the one of
least squares also has the least deviance). Losses with labels of at least 0
only.
"""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
from absl import app, flags
from scipy import optimize

from rmtl_jax.config import kinds
from rmtl_jax.evaluation import power as power_lib
from rmtl_jax.evaluation import regression
from rmtl_jax.results import ensemble
from rmtl_jax.runtime import workdir
from rmtl_jax.training import splits

Map = Callable[[np.ndarray], np.ndarray]


def scale(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> Map:
  """The number that makes predictions sum to the labels."""
  factor = np.sum(w * y) / np.sum(w * p)
  return lambda p: factor * p


def power(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> Map:
  """exp(b) p^a with the least deviance; a is at least 0."""
  z = np.log(p)

  def deviance(a):
    r = np.exp(a * z)
    b = np.log(np.sum(w * y) / np.sum(w * r))
    return np.sum(w * (np.exp(b) * r - y * (a * z + b))), b

  found: Any = optimize.minimize_scalar(
    lambda a: deviance(a)[0], bounds=(0.0, 4.0), method='bounded'
  )
  a = found.x
  b = deviance(a)[1]
  return lambda p: np.exp(b) * p**a


def isotonic(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> Map:
  """The rising function of least squares, linear between its steps."""
  order = np.argsort(p, kind='stable')
  fitted = optimize.isotonic_regression(y[order], weights=w[order]).x
  return lambda new: np.interp(new, p[order], fitted)


def held(y: np.ndarray, p: np.ndarray, w: np.ndarray) -> Map:
  """`power`, where few rows hardly move predictions."""
  return power_lib.fit(y, p, w).apply


MAPS = {'scale': scale, 'power': power, 'held': held, 'isotonic': isotonic}


def figures(loss: str, y: Any, p: Any, w: Any) -> str:
  """Of one map, as a line of a table."""
  found = (
    regression.rmse(y, p, w),
    regression.relative_error(loss, y, p, w),
    np.sum(w * p) / np.sum(w * y),
    regression.decile_error(y, p, w),
  )
  return ' | '.join(f'{value:.4f}' for value in found)


def main(argv: list[str]) -> None:
  """Prints a table."""
  del argv
  run = workdir.read(pathlib.Path(flags.FLAGS.workdir))
  trained = ensemble.restore(run)
  hosts, predictions = {}, {}
  for name in ('validation', 'test'):
    rows = splits.read(run.data_dir, run.manifest, name, run.config.batch)
    hosts[name] = rows.host
    predictions[name] = np.asarray(
      trained.models.probabilities(
        run.config, trained.actors['pretrain'], rows
      ),
      np.float64,
    )
  print('| task | map | RMSE | deviance / that of the mean', end='')
  print(' | predicted / actual | decile error |\n|---|---|---|---|---|---|')
  for k, task in enumerate(run.manifest.tasks):
    if task.kind != kinds.REGRESSION or kinds.LOSSES[task.loss].labels == 'any':
      continue
    rows = {}
    for name, host in hosts.items():
      weight = host.sample_weight
      w = np.ones(host.rows) if weight is None else weight[:, k]
      seen = w > 0
      y = host.labels[seen, k].astype(np.float64)
      rows[name] = y, predictions[name][seen, k], w[seen].astype(np.float64)
    y, p, w = rows['test']
    print(f'| {task.name} | none | {figures(task.loss, y, p, w)} |')
    for name, fit in MAPS.items():
      mapped = fit(*rows['validation'])(p)
      print(f'| | {name} | {figures(task.loss, y, mapped, w)} |')


def define_flags() -> None:
  """Flags of the command."""
  flags.DEFINE_string('workdir', None, 'RUN.', required=True)


if __name__ == '__main__':
  define_flags()
  app.run(main)

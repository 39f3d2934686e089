"""Boosted trees beside LightGBM's: growing them, and predicting with them.

    pip install '.[baselines]'
    python -m benchmarks.trees --output=benchmarks/results/trees.json

Simulated rows of numbers and categories, one binary task. Both forms of trees
are grown, and as many trees of LightGBM of as many leaves, by one thread, with
the same learning rate, L2, bins and share of columns: from rows in bins, in
turn, and whatever validation would say. Then all trees of both forms predict
rows, compiled as a run has them, in turn with both models of LightGBM. Programs
are compiled before. CPU seconds are of all threads: a machine that is busy
changes them less than the clock. Without LightGBM ours are measured alone.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine
from rmtl_jax import extras, types
from rmtl_jax.contrib.trees import (
  boosting,
  candidates,
  category_splits,
  features,
  forms,
  growing,
  network,
  oblivious,
)
from rmtl_jax.networks import functional, pretrained

OURS, THEIRS = 'ours', 'lightgbm'
# What LightGBM has of our settings: learning rate, L2, least sum of second
# derivatives, bins of numbers. Its L2 and smoothing of categories are ours as
# they are; a group of categories has at least 100 rows, ours a row or two.
_SETTINGS = {
  'objective': 'binary',
  'learning_rate': boosting._LEARNING_RATE,
  'lambda_l2': forms.L2,
  'min_sum_hessian_in_leaf': forms.LEAST,
  'max_bin': forms.BINS - 1,
  'num_threads': 1,
  'verbose': -1,
}


class Log(NamedTuple):
  """Simulated rows.

  Attributes:
    spec: of the fields.
    rows: that trees are grown from.
    requests: rows to predict.
  """

  spec: types.FeatureSpec
  rows: functional.Rows
  requests: types.Inputs


def simulate(
  rows: int, requests: int, numbers: int, fields: int, values: int
) -> Log:
  """Rows of which numbers, categories, and two of each together tell labels.

  Args:
    rows: that trees are grown from.
    requests: rows to predict.
    numbers: numeric fields.
    fields: categorical fields.
    values: of each; row 0 of a vocabulary is none.
  """
  draw = np.random.default_rng(0)
  count = rows + requests
  spec = types.FeatureSpec((values + 1,) * fields, (), numbers, num_tasks=1)
  categorical = draw.integers(1, values + 1, (count, fields), np.int32)
  numeric = draw.normal(size=(count, numbers)).astype(np.float32)
  effects = draw.normal(0.0, 0.5, (fields, values + 1))
  logit = effects[np.arange(fields), categorical].sum(1) - 1.0
  logit += numeric @ draw.normal(0.0, 0.2, numbers)
  logit += 0.5 * np.sign(numeric[:, 0] * numeric[:, -1])
  logit += (categorical[:, 0] % 7 == categorical[:, -1] % 7).astype(np.float64)
  labels = draw.random(count) < 1.0 / (1.0 + np.exp(-logit))
  inputs = types.Inputs(categorical, np.zeros((count, 0), np.int32), numeric)
  return Log(
    spec,
    functional.Rows(
      jax.tree.map(lambda x: x[:rows], inputs),
      labels[:rows, None].astype(np.float32),
    ),
    jax.tree.map(lambda x: x[rows:], inputs),
  )


class Ours:
  """Both forms of trees, from rows in bins."""

  def __init__(self, log: Log, trees: int):
    self._log, self._trees = log, trees
    self._rounds = np.array([-(-trees // boosting.ROUND)])
    self._fields = candidates.TreeFields((), range(len(log.spec.categorical)))
    self._learnt = features.learn(log.spec, (), log.rows, seed=0)
    rows = growing._rows(self._fields, self._learnt.rows, log.rows)
    self._forms = [
      (of, rows.of(of)) for of in candidates.by_form(log.spec, self._fields)
    ]

  def _grow(self, number: int) -> Any:
    of, rows = self._forms[number]
    # Without pairs and ids the first candidate reads all columns.
    return boosting.boost_again(
      of.form, of.limits[0], rows, self._rounds, self._trees, seed=0
    )

  def oblivious(self) -> Any:
    """Trees that read categories by their rates."""
    return self._grow(0)

  def categories(self) -> Any:
    """Trees that part categories."""
    return self._grow(1)

  def predictor(self) -> Callable[[], Any]:
    """A call that predicts with all trees, half of each form's sum."""
    spec, trees = self._log.spec, [self.oblivious(), self.categories()]
    halves = [
      one._replace(columns=of.places[one.columns], leaves=one.leaves / 2)
      for one, (of, _) in zip(trees, self._forms, strict=True)
    ]
    grown = growing._parameters(spec, self._fields, self._learnt, halves)
    _, bind, _ = functional.from_module(
      lambda rngs: network.Trees(spec, self._trees, self._fields)
    )
    params = jax.device_put({pretrained.FROZEN: grown})
    inputs = jax.device_put(self._log.requests)
    run = jax.jit(lambda params, inputs: bind(params)(inputs))
    return lambda: run(params, inputs)


class Theirs:
  """Models of LightGBM, from rows in its bins."""

  def __init__(self, lightgbm: Any, log: Log, trees: int):
    self._lightgbm, self._log, self._trees = lightgbm, log, trees
    self._train = lightgbm.Dataset(
      self._columns(log.rows.inputs),
      log.rows.labels[:, 0],
      categorical_feature=list(range(len(log.spec.categorical))),
      params=_SETTINGS,
    ).construct()

  def _columns(self, inputs: types.Inputs) -> np.ndarray:
    """f64[R, F]; categories come first."""
    return np.column_stack([inputs.categorical, inputs.numeric])

  def grow(self, leaves: int, share: float) -> Any:
    """A model.

    Args:
      leaves: of a tree, at most.
      share: of the columns that a tree samples.
    """
    settings = {'num_leaves': leaves, 'feature_fraction': share, 'seed': 0}
    return self._lightgbm.train(_SETTINGS | settings, self._train, self._trees)

  def predictor(self, models: Sequence[Any]) -> Callable[[], Any]:
    """A call that predicts with all trees of models."""
    columns = self._columns(self._log.requests)
    return lambda: sum(
      model.predict(columns, raw_score=True, num_threads=1) for model in models
    )


def leaves_of(model: Any) -> float:
  """The mean number of leaves of a model's trees."""
  trees = model.dump_model()['tree_info']
  return statistics.fmean(tree['num_leaves'] for tree in trees)


def take_turns(
  runs: Mapping[str, Callable[[], Any]], repetitions: int
) -> dict[str, dict[str, list[float]]]:
  """Milliseconds by the clock and of the CPU, after a call to warm up."""
  times = {name: {'wall': [], 'cpu': []} for name in runs}
  for run in runs.values():
    jax.block_until_ready(run())
  for _ in range(repetitions):
    for name, run in runs.items():
      clock, cpu = time.perf_counter(), time.process_time()
      jax.block_until_ready(run())
      times[name]['wall'].append(1e3 * (time.perf_counter() - clock))
      times[name]['cpu'].append(1e3 * (time.process_time() - cpu))
  return times


def spread(values: Sequence[float]) -> dict[str, float]:
  """Median, least and most."""
  return {
    'median': statistics.median(values),
    'least': min(values),
    'most': max(values),
  }


def compared(
  times: Mapping[str, Mapping[str, Sequence[float]]],
) -> dict[str, Any]:
  """Spreads of `take_turns`, and of ours over LightGBM's in the same turn."""
  found: dict[str, Any] = {
    name: {clock: spread(values) for clock, values in own.items()}
    for name, own in times.items()
  }
  if THEIRS in times:
    found['ratio'] = {
      clock: spread(
        [a / b for a, b in zip(ours, times[THEIRS][clock], strict=True)]
      )
      for clock, ours in times[OURS].items()
    }
  return found


def measure(
  log: Log, trees: int, repetitions: int, lightgbm: Any
) -> list[dict[str, Any]]:
  """A row for each form, and one for predictions.

  Args:
    log: the rows.
    trees: of each form.
    repetitions: turns of growing; predictions take ten times as many.
    lightgbm: the package; None without it.
  """
  ours = Ours(log, trees)
  theirs = lightgbm and Theirs(lightgbm, log, trees)
  few, many = 2**oblivious.DEPTH, 2**category_splits.DEPTH
  forms = (
    ('oblivious', ours.oblivious, few, oblivious._SHARE),
    ('with categories', ours.categories, many, category_splits._SHARE),
  )
  rows, models = [], []
  for name, call, leaves, share in forms:
    runs = {OURS: call}
    if theirs:
      runs[THEIRS] = lambda of=(leaves, share): theirs.grow(*of)
    row = {'what': f'grow, {name}', 'trees': trees, 'leaves': [leaves]}
    rows.append(row | compared(take_turns(runs, repetitions)))
    if theirs:
      models.append(theirs.grow(leaves, share))
      rows[-1]['lightgbm_leaves'] = leaves_of(models[-1])
    print(f'{name} done', flush=True)
  runs = {OURS: ours.predictor()}
  if theirs:
    runs[THEIRS] = theirs.predictor(models)
  row = {'what': 'predict', 'trees': 2 * trees, 'leaves': [few, many]}
  rows.append(row | compared(take_turns(runs, 10 * repetitions)))
  return rows


def line(row: Mapping[str, Any]) -> dict[str, str]:
  """A row of the table: medians, and ranges of ratios."""
  cells = {'what': row['what'], 'trees': str(row['trees'])}
  for name in (OURS, THEIRS):
    for clock in ('wall', 'cpu'):
      found = row.get(name)
      cells[f'{name}, {clock} ms'] = (
        f'{found[clock]["median"]:,.1f}' if found else '-'
      )
  for clock in ('wall', 'cpu'):
    cells[f'{clock} ratio'] = (
      '{median:.2f} ({least:.2f} to {most:.2f})'.format(**row['ratio'][clock])
      if 'ratio' in row
      else '-'
    )
  return cells


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  values = flags.FLAGS
  try:
    lightgbm = extras.require('lightgbm', 'the comparison')
  except types.InputError as error:
    print(f'{error}; ours alone', flush=True)
    lightgbm = None
  sizes = {
    name: getattr(values, name)
    for name in ('rows', 'requests', 'numbers', 'fields', 'values')
  }
  rows = measure(simulate(**sizes), values.trees, values.repetitions, lightgbm)
  print(machine.table([line(row) for row in rows]))
  machine.write(
    values.output,
    {
      'benchmark': 'trees',
      'unit': 'milliseconds by the clock and of the CPU, and those of ours over'
      ' those of LightGBM in the same turn',
      'lightgbm': lightgbm and lightgbm.__version__,
      'settings': _SETTINGS,
      **sizes,
      'repetitions': values.repetitions,
      'figures': rows,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_integer('rows', 20_000, 'Rows that trees are grown from.')
  flags.DEFINE_integer('requests', 2048, 'Rows to predict.')
  flags.DEFINE_integer('numbers', 20, 'Numeric fields.', lower_bound=1)
  flags.DEFINE_integer('fields', 5, 'Categorical fields.', lower_bound=1)
  flags.DEFINE_integer('values', 50, 'Values of a categorical field.')
  flags.DEFINE_integer('trees', 300, 'Of each form.')
  flags.DEFINE_integer('repetitions', 5, 'Turns; ten times in predictions.')
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')


if __name__ == '__main__':
  define_flags()
  app.run(main)

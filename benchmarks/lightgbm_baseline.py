r"""LightGBM on prepared data, one model per task, beside the rate baseline.

    pip install '.[trees]'
    python -m benchmarks.lightgbm_baseline --data_dir=data/mine \
      --seed=0 --seed=1 --output=benchmarks/results/lightgbm_baseline.json

The features are those of the networks. Binned fields, as-of features among
them, are ordered numbers; categorical fields with more than --max_categories
values are ids; a list is an indicator for each of its values, and left out if
they are more. The lowest validation logloss chooses the entries of `Choice` one
after the other, each from the best of the entries before. Only the chosen model
predicts test rows; with --refit one of as many trees that has learnt from the
rows of train and validation.
"""

from __future__ import annotations

import dataclasses
import itertools
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from absl import app, flags, logging

from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import baseline, comparison, metrics
from rmtl_jax.results import figures

_PAPER = config_lib.preset('paper')

METRICS = ('auc', 'logloss')
FOLDS = 5
# Trees at most; trees without a better validation logloss at the end.
_TREES, _PATIENCE = 2000, 50
_FIXED = {
  'objective': 'binary',
  'metric': 'binary_logloss',
  'learning_rate': 0.05,
  'feature_fraction': 0.7,
  'bagging_fraction': 0.8,
  'bagging_freq': 1,
  'num_threads': 1,
  'verbose': -1,
}


class Choice(NamedTuple):
  """What validation chooses, in this order.

  Attributes:
    ids: 'ignored', or 'encoded' as smoothed rates of the label.
    small: other categorical fields as 'categories' or as 'numbers'.
    num_leaves: of a tree, at most.
    min_data_in_leaf: rows.
  """

  ids: str = 'ignored'
  small: str = 'categories'
  num_leaves: int = 15
  min_data_in_leaf: int = 50


GRID: dict[str, tuple[Any, ...]] = {
  'ids': ('ignored', 'encoded'),
  'small': ('categories', 'numbers'),
  'num_leaves': (7, 15, 31, 63),
  'min_data_in_leaf': (20, 50, 100),
}


class Fields(NamedTuple):
  """Places among the categorical fields, by what LightGBM makes of them."""

  ordered: list[int]
  small: list[int]
  ids: list[int]


def part(manifest: manifest_lib.Manifest, max_categories: int) -> Fields:
  """Parts the categorical fields into binned ones, small ones and ids."""
  found = Fields([], [], [])
  for i, field in enumerate(manifest.of_kind('categorical')):
    if field.details.get('transform') == 'bins':
      found.ordered.append(i)
    else:
      # Row 0 of the vocabulary is no value.
      small = field.size - 1 <= max_categories
      (found.small if small else found.ids).append(i)
  return found


def small_lists(
  manifest: manifest_lib.Manifest, max_categories: int
) -> list[bool]:
  """Whether each multi-valued field has few enough values."""
  fields = manifest.of_kind('multi_valued')
  return [field.size - 1 <= max_categories for field in fields]


def indicators(
  slots: np.ndarray, fields: Sequence[manifest_lib.Field]
) -> list[np.ndarray]:
  """Each multi-valued field as the values that a row has.

  Args:
    slots: of all fields side by side, i32[R, sum of their widths], -1 unused.
    fields: their sizes and widths.

  Returns:
    u8[R, size - 1] each; row 0 of the vocabulary is no value.
  """
  found, start = [], 0
  for field in fields:
    values = slots[:, start : start + field.width]
    start += field.width
    has = np.zeros((len(slots), field.size + 1), np.uint8)
    np.put_along_axis(has, values, 1, axis=1)  # -1: the last column
    found.append(has[:, 1:-1])
  return found


def of_task(weight: np.ndarray | None, task: int) -> np.ndarray | None:
  """A column of [R, K]; None: all labels count 1."""
  return None if weight is None else weight[:, task].copy()


def encode(
  ids: np.ndarray,
  labels: np.ndarray,
  size: int,
  seed: int,
  weight: np.ndarray | None = None,
  session: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """Encodes an id as its smoothed rate of the label.

  Args:
    ids: of the train rows, i32[R].
    labels: of the train rows, f32[R].
    size: I, rows of the id's vocabulary.
    seed: of the folds.
    weight: of the labels, f32[R]; None: all count 1.
    session: of the rows, i32[R]: one whole session is in a fold, since rows of
      one may share what happened; None: every row is its own.

  Returns:
    f64[R], each train row by the rate of the folds that lack it; f64[I], the
    rate over all train rows, for other splits.
  """

  def rates(rows):
    counts = None if weight is None else weight[rows, None]
    return baseline.rates(ids[rows], labels[rows, None], size, counts)[:, 0]

  of_row = np.arange(len(ids)) if session is None else session
  fold = np.random.default_rng(seed).integers(0, FOLDS, of_row.max() + 1)[
    of_row
  ]
  encoded = np.empty(len(ids))
  for number in range(FOLDS):
    encoded[fold == number] = rates(fold != number)[ids[fold == number]]
  return encoded, rates(np.ones(len(ids), bool))


def bins(ids: np.ndarray) -> np.ndarray:
  """A binned field's bins, f64[R]; NaN where there is none."""
  return np.where(ids > 0, ids, np.nan)


class Task:
  """The models of one task and seed."""

  def __init__(
    self,
    splits: dict[str, columns_lib.SplitColumns],
    manifest: manifest_lib.Manifest,
    task: int,
    seed: int,
    max_categories: int,
  ):
    self._lightgbm = extras.require('lightgbm', 'the baseline')
    self._splits, self._seed = splits, seed
    self.fields = part(manifest, max_categories)
    self.labels = {name: s.labels[:, task].copy() for name, s in splits.items()}
    self.weight = {
      name: of_task(s.sample_weight, task) for name, s in splits.items()
    }
    self._categorical = manifest.of_kind('categorical')
    self._lists = manifest.of_kind('multi_valued')
    self._reads = small_lists(manifest, max_categories)
    sizes = [field.size for field in self._categorical]
    self._encoded: dict[str, list[np.ndarray]] = {name: [] for name in splits}
    for i in self.fields.ids:
      train, rates = encode(
        splits['train'].field(i),
        self.labels['train'],
        sizes[i],
        seed,
        self.weight['train'],
        np.asarray(splits['train'].session),
      )
      for name, split in splits.items():
        values = train if name == 'train' else rates[split.field(i)]
        self._encoded[name].append(values)

  def features(self, split: str, choice: Choice) -> np.ndarray:
    """A split's features, f64[R, F]; the small fields come first."""
    rows = self._splits[split]
    return np.column_stack(
      [
        rows.categorical[:, self.fields.small],
        *(bins(rows.field(i)) for i in self.fields.ordered),
        rows.numeric,
        *itertools.compress(
          indicators(rows.multi_valued, self._lists), self._reads
        ),
        *(self._encoded[split] if choice.ids == 'encoded' else ()),
      ]
    )

  def _settings(self, choice: Choice) -> dict[str, Any]:
    return {
      **_FIXED,
      'num_leaves': choice.num_leaves,
      'min_data_in_leaf': choice.min_data_in_leaf,
      'seed': self._seed,
    }

  def _train_set(self, choice: Choice) -> Any:
    small = range(len(self.fields.small))
    return self._lightgbm.Dataset(
      self.features('train', choice),
      self.labels['train'],
      weight=self.weight['train'],
      categorical_feature=list(small) if choice.small == 'categories' else [],
      params=self._settings(choice),
    )

  def refit(self, choice: Choice, trees: int) -> Any:
    """Trains a model of so many trees, whatever validation says."""
    settings = self._settings(choice)
    return self._lightgbm.train(settings, self._train_set(choice), trees)

  def fit(self, choice: Choice) -> tuple[float, Any]:
    """Trains a model; its validation logloss, and the model."""
    settings, train = self._settings(choice), self._train_set(choice)
    validation = train.create_valid(
      self.features('validation', choice),
      self.labels['validation'],
      weight=self.weight['validation'],
    )
    model = self._lightgbm.train(
      settings,
      train,
      _TREES,
      valid_sets=[validation],
      callbacks=[self._lightgbm.early_stopping(_PATIENCE, verbose=False)],
    )
    return model.best_score['valid_0']['binary_logloss'], model

  def search(self) -> tuple[Choice, Any, int]:
    """The best choice, its model, and the number of models trained."""
    best, tried = Choice(), 1
    logloss, model = self.fit(best)
    for name, values in GRID.items():
      if name in ('ids', 'small') and not getattr(self.fields, name):
        continue
      start = best
      for value in values:
        choice = start._replace(**{name: value})
        if choice == start:
          continue
        tried += 1
        found, other = self.fit(choice)
        if found < logloss:
          best, logloss, model = choice, found, other
    return best, model, tried


def read(
  data_dir: str,
) -> tuple[manifest_lib.Manifest, dict[str, columns_lib.SplitColumns]]:
  """The manifest of prepared data, and the rows of each split.

  Raises:
    types.InputError: bad data.
  """
  manifest = manifest_file.read(data_dir)
  return manifest, {
    name: columns_lib.read_split(data_dir, manifest, name)
    for name in manifest_lib.SPLITS
  }


def measure(
  data_dir: str, seeds: list[int], max_categories: int, refit: bool = False
) -> Iterator[dict[str, Any]]:
  """Yields each task's settings, test metrics and seconds, with their means.

  Args:
    data_dir: prepared data.
    seeds: of folds and sampling.
    max_categories: values of a categorical field that is no id, at most.
    refit: whether the chosen model is trained again, with validation rows.

  Raises:
    types.InputError: LightGBM is not installed, or bad data.
  """
  manifest, splits = read(data_dir)
  all_train = (
    columns_lib.read_split(data_dir, manifest.with_validation(), 'train')
    if refit
    else None
  )
  config = dataclasses.replace(
    _PAPER, evaluation=dataclasses.replace(_PAPER.evaluation, bootstrap=0)
  )
  test = splits['test']
  rates = figures.rate_baseline(
    all_train or splits['train'], test, manifest, config
  )
  lists = zip(
    manifest.of_kind('multi_valued'),
    small_lists(manifest, max_categories),
    strict=True,
  )
  left_out = [field.name for field, is_small in lists if not is_small]
  for k, name in enumerate(manifest.task_names):
    runs = []
    for seed in seeds:
      begin = time.perf_counter()
      task = Task(splits, manifest, k, seed, max_categories)
      choice, model, tried = task.search()
      trees = model.best_iteration
      if all_train:
        rows = splits | {'train': all_train}
        task = Task(rows, manifest, k, seed, max_categories)
        model = task.refit(choice, trees)
      predicted = model.predict(task.features('test', choice))
      counts = of_task(columns_lib.metric_weight(test), k)
      tested = test.labels[:, k], predicted, counts
      runs.append(
        {
          'seed': seed,
          'auc': metrics.auc(*tested),
          'logloss': metrics.logloss(*tested),
          **choice._asdict(),
          'trees': trees,
          'models': tried,
          'seconds': time.perf_counter() - begin,
        }
      )
    yield {
      'data': pathlib.Path(data_dir).name,
      'task': name,
      'rates': rates and {metric: rates[name][metric] for metric in METRICS},
      **{
        metric: comparison.mean_and_error([run[metric] for run in runs])
        for metric in (*METRICS, 'seconds')
      },
      'runs': runs,
      'left_out': left_out,
    }


def row(figure: dict[str, Any]) -> dict[str, str]:
  """One task's line of the table."""

  def text(metric):
    mean, error = figure[metric]['mean'], figure[metric]['standard_error']
    shown = '-' if mean is None else f'{mean:.4f}'
    return shown if error is None else f'{shown} ± {error:.4f}'

  rates = figure['rates']
  return {
    'data': figure['data'],
    'task': figure['task'],
    **{f'rates {m}': f'{rates[m]:.4f}' if rates else '-' for m in METRICS},
    **{m: text(m) for m in METRICS},
    'seconds': f'{figure["seconds"]["mean"]:.0f}',
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  most, refit = flags.FLAGS.max_categories, flags.FLAGS.refit
  figures = []
  logging.set_verbosity(
    logging.WARNING
  )  # JAX tells which devices are not there
  try:
    lightgbm = extras.require('lightgbm', 'the baseline')
    for data_dir in flags.FLAGS.data_dir:
      for figure in measure(data_dir, flags.FLAGS.seed, most, refit):
        left_out = ', '.join(figure['left_out']) or 'nothing'
        print(f'{data_dir}: {figure["task"]}; left out: {left_out}', flush=True)
        figures.append(figure)
  except types.InputError as error:
    print(f'lightgbm_baseline: {error}', file=sys.stderr)
    sys.exit(2)
  print(machine.table([row(figure) for figure in figures]))
  machine.write(
    flags.FLAGS.output,
    {
      'benchmark': 'lightgbm_baseline',
      'lightgbm': lightgbm.__version__,
      'unit': 'test AUC and logloss; seconds of a search, with its prediction',
      'max_categories': most,
      'fixed': _FIXED,
      'grid': GRID,
      'refit': refit,
      'figures': figures,
    },
  )


def define_flags() -> None:
  """Defines the flags; not on import, since a test imports this module."""
  flags.DEFINE_multi_string(
    'data_dir', None, 'Prepared data; repeatable.', required=True
  )
  flags.DEFINE_string('output', '', 'JSON file; none if empty.')
  flags.DEFINE_multi_integer(
    'seed', [0], 'Of folds and of sampling; repeatable.'
  )
  flags.DEFINE_boolean(
    'refit', False, 'Trains the chosen model again, with validation rows.'
  )
  flags.DEFINE_integer(
    'max_categories', 200, 'A categorical field with more values is an id.'
  )


if __name__ == '__main__':
  define_flags()
  app.run(main)

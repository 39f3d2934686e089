"""Boosted trees of LightGBM as a model, alone or as a member of an ensemble.

`backbone=lightgbm` fits a booster per task before the first epoch, with early
stopping on validation's logloss, and has no epochs, no critics and nothing to
fine-tune. On small logs validation also chooses the number of leaves, and
whether categories are split as sets or as ordered numbers. LightGBM (pip
install 'rmtl-jax[trees]') is needed to fit, not to predict: trees become
arrays, which JAX evaluates. Every row takes the library's path, also with
missing values and unseen categories; scores are sums in float32.

A categorical field of more than 200 values is read as the smoothed rate of the
label among the train rows of its value; for a train row, among those of the
other folds.

Columns are the numeric fields, then the categorical fields, then the slots of
the multi-valued fields (NaN where a slot is empty), each in the order of
manifest.json, without those of `network.ignore`. The last two are categories,
numbered as in the vocabularies; 0 means missing and unseen values.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import extras, types
from rmtl_jax.config import recommended
from rmtl_jax.evaluation import baseline
from rmtl_jax.networks import functional

SETTINGS = {
  'objective': 'binary',
  'metric': 'binary_logloss',
  'learning_rate': 0.05,
  'num_leaves': 15,
  'min_sum_hessian_in_leaf': 5.0,
  'lambda_l2': 20.0,
  'feature_fraction': 0.3,
  'max_bin': 63,
  'deterministic': True,
  'force_row_wise': True,
  'verbosity': -1,
}
_TREES, _PATIENCE = 600, 50
_LEAVES = 7, 31, 63
# Rows of a task that one thread fits, and whose settings are searched.
_FEW_ROWS = 100_000
# Of the rates of train rows.
_FOLDS = 5
# Trees that are evaluated side by side.
_BLOCK = 32
_MISSING = {'None': 0, 'Zero': 1, 'NaN': 2}
# Bits of `kind`; the type of missing values is in those above.
_IS_SET, _MISSING_LEFT, _TYPE = 1, 2, 4
# LightGBM's kZeroThreshold.
_ZERO = np.float32(1e-35)
_LARGEST = float(np.finfo(np.float32).max)


class Model(NamedTuple):
  """Trees of a booster from `dump_model`, and the columns that they read.

  Attributes:
    trees: the library's nested dicts.
    columns: our column of each of its features.
  """

  trees: list[dict[str, Any]]
  columns: Sequence[int]


def make(
  spec: types.FeatureSpec, config: config_lib.NetworkConfig
) -> functional.Network:
  """The network; its parameters are the arrays of `pack`.

  Args:
    spec: the fields that it sees.
    config: nothing in it is for trees.

  Raises:
    types.InputError: a task that is not binary.
  """
  del config
  if spec.losses:
    raise types.InputError(
      'config.backbone: lightgbm predicts binary tasks alone; take another'
      ' backbone for these data'
    )
  count = sum(width for width, _ in spec.input_widths)
  ids = _ids(spec)

  def init(key: jax.Array) -> functional.Params:
    del key
    shapes = {i: (spec.categorical[i], spec.num_tasks) for i in ids}
    rates = {i: np.zeros(shape) for i, shape in shapes.items()}
    return pack([Model([], range(count))] * spec.num_tasks, rates)

  def share(params: functional.Params, inputs: types.Inputs) -> jax.Array:
    flat = columns(inputs, jnp)
    rates = [
      jnp.asarray(params['rates'][str(i)])[inputs.categorical[..., i]]
      for i in ids
    ]
    flat = jnp.concatenate([flat, *rates], -1)
    found = scores(params, flat.reshape(-1, flat.shape[-1]))
    return found.reshape(*flat.shape[:-1], spec.num_tasks)

  def lane(params, shared, inputs, *, dropout_key=None):
    del params, inputs, dropout_key
    return shared

  fit = functools.partial(_fit, spec)
  return functional.Network(init, share, lane, 0, lambda x, key: x, fit=fit)


def columns(inputs: types.Inputs, xp: Any) -> Any:
  """The columns that boosters read, f32[..., C]."""
  slots = xp.asarray(inputs.multi_valued).astype(xp.float32)
  parts = (
    xp.asarray(inputs.numeric),
    xp.asarray(inputs.categorical).astype(xp.float32),
    xp.where(slots < 0, xp.nan, slots),
  )
  return xp.concatenate(parts, -1).astype(xp.float32)


def _fit(
  spec: types.FeatureSpec,
  train: functional.Rows,
  validation: functional.Rows,
  seed: int,
  progress: Callable[[float], object],
  again: functional.Rows | None = None,
) -> functional.Params:
  """See `functional.Fit`."""
  lightgbm = extras.require('lightgbm', 'backbone lightgbm')
  models, rates = [], []
  for k in range(spec.num_tasks):
    parts = [rows and _rows(rows, k) for rows in (train, validation, again)]
    model, tables = _fit_task(
      lightgbm,
      spec,
      parts,
      k,
      seed,
      lambda done, k=k: progress((k + done) / spec.num_tasks),
    )
    models.append(model)
    rates.append(tables)
  by_field = {i: np.column_stack([of[i] for of in rates]) for i in _ids(spec)}
  return pack(models, by_field)


def _ids(spec: types.FeatureSpec) -> list[int]:
  """Places of the categorical fields that are read as rates."""
  most = recommended.MOST_CATEGORIES
  return [i for i, size in enumerate(spec.categorical) if size - 1 > most]


class _TaskRows(NamedTuple):
  """The R rows of a task with a label.

  Attributes:
    columns: f32[R, C].
    labels: f32[R].
    weight: f32[R], of mean 1.
    categorical: i32[R, F].
  """

  columns: np.ndarray
  labels: np.ndarray
  weight: np.ndarray
  categorical: np.ndarray


def _rows(rows: functional.Rows, k: int) -> _TaskRows:
  weight = (
    np.ones(len(rows.labels)) if rows.weight is None else rows.weight[:, k]
  )
  seen = weight > 0
  # A mean weight of one: limits of leaves are in rows.
  weight = weight[seen] / max(weight[seen].mean(), 1e-30) if any(seen) else ()
  inputs = types.Inputs(*(np.asarray(part)[seen] for part in rows.inputs[:3]))
  return _TaskRows(
    columns(inputs, np),
    rows.labels[seen, k],
    np.array(weight),
    np.asarray(inputs.categorical),
  )


def _rates(rows: _TaskRows, field: int, size: int) -> np.ndarray:
  """Smoothed rates of the values of a categorical field, f32[size]."""
  ids, labels, weight = rows.categorical[:, field], rows.labels, rows.weight
  found = baseline.rates(ids, labels[:, None], size, weight[:, None])
  return found[:, 0].astype(np.float32)


def _out_of_fold(
  rows: _TaskRows, field: int, size: int, seed: int
) -> np.ndarray:
  """Each row's rate over the folds without it, f32[R]."""
  fold = np.random.default_rng(seed).integers(0, _FOLDS, len(rows.labels))
  found = np.zeros(len(fold), np.float32)
  for number in range(_FOLDS):
    others = _TaskRows(*(part[fold != number] for part in rows))
    inside = fold == number
    rates = _rates(others, field, size)
    found[inside] = rates[rows.categorical[inside, field]]
  return found


class _Fitted(NamedTuple):
  """A booster and its validation loss.

  Attributes:
    loss: of validation; 0 without such rows.
    trees: their number at the lowest loss.
    leaves: of a tree, at most.
    as_sets: whether categories are split as sets.
    booster: LightGBM's.
  """

  loss: float
  trees: int
  leaves: int
  as_sets: bool
  booster: Any


def _fit_task(
  lightgbm: Any,
  spec: types.FeatureSpec,
  splits: Sequence[_TaskRows | None],
  task: int,
  seed: int,
  progress: Callable[[float], object],
) -> tuple[Model, dict[int, np.ndarray]]:
  """The trees of one task, and the rates f32[V] of its id fields, by place.

  Args:
    splits: train rows, validation rows, and None or rows that as many trees are
      fitted to, once validation has chosen.
    task: its number.
  """
  train, validation, again = splits
  assert train is not None and validation is not None
  last, sizes = again or train, {i: spec.categorical[i] for i in _ids(spec)}
  tables = {i: _rates(last, i, size) for i, size in sizes.items()}
  count = train.columns.shape[1]
  if len(np.unique(train.labels)) < 2 or len(np.unique(last.labels)) < 2:
    odds = (last.labels.sum() + 0.5) / ((1 - last.labels).sum() + 0.5)
    tree = {'tree_structure': {'leaf_value': np.log(odds)}}
    return Model([tree], range(count)), tables
  params = {**SETTINGS, 'seed': seed}
  if not np.isin(last.labels, (0.0, 1.0)).all():  # completed labels
    params |= {'objective': 'cross_entropy', 'metric': 'cross_entropy'}
  few = len(train.labels) < _FEW_ROWS
  # Threads that wait for busy cores cost more than they save on few rows.
  params['num_threads'] = 1 if few else 0
  kept = [i for i in range(count) if i - spec.numeric not in sizes]
  sets = [at for at, i in enumerate(kept) if i >= spec.numeric]

  def data(rows, rates, as_sets, reference=None):
    return lightgbm.Dataset(
      np.column_stack([rows.columns[:, kept], *rates]),
      rows.labels,
      weight=rows.weight,
      reference=reference,
      params=params,
      categorical_feature=sets if as_sets else [],
    )

  def learnt(rows):
    return [_out_of_fold(rows, i, size, seed) for i, size in sizes.items()]

  @functools.cache
  def datasets(as_sets):
    first = data(train, learnt(train), as_sets)
    if not len(validation.labels):
      return first, []
    rates = [
      _rates(train, i, size)[validation.categorical[:, i]]
      for i, size in sizes.items()
    ]
    return first, [data(validation, rates, as_sets, first)]

  searches = few and len(validation.labels) > 0
  tries = 1 + searches * (bool(sets) + len(_LEAVES))

  def fit(number, leaves, as_sets):
    first, others = datasets(as_sets)
    calls = [lambda env: progress((number + env.iteration / _TREES) / tries)]
    if others:
      calls.append(lightgbm.early_stopping(_PATIENCE, verbose=False))
    settings = {**params, 'num_leaves': leaves}
    booster = lightgbm.train(settings, first, _TREES, others, callbacks=calls)
    if not others:
      return _Fitted(0.0, _TREES, leaves, as_sets, booster)
    (loss,) = booster.best_score['valid_0'].values()
    return _Fitted(loss, booster.best_iteration, leaves, as_sets, booster)

  def loss(found):
    return found.loss

  best = fit(0, SETTINGS['num_leaves'], True)
  if searches and sets:
    best = min(best, fit(1, best.leaves, False), key=loss)
  for number, leaves in enumerate(_LEAVES * searches, tries - len(_LEAVES)):
    best = min(best, fit(number, leaves, best.as_sets), key=loss)
  booster = best.booster
  if again is not None:
    settings = {**params, 'num_leaves': best.leaves}
    whole = data(again, learnt(again), best.as_sets)
    booster = lightgbm.train(settings, whole, best.trees)
  rates = [count + n * spec.num_tasks + task for n in range(len(sizes))]
  found = booster.dump_model(num_iteration=best.trees)['tree_info']
  return Model(found, [*kept, *rates]), tables


def pack(
  models: Sequence[Model], rates: Mapping[int, np.ndarray] | None = None
) -> functional.Params:
  """Boosters, one per task, as arrays.

  Args:
    models: of the tasks.
    rates: of the values of each id field, by its place, f32[V, K].

  Returns:
    Of B blocks of W trees, padded to N nodes and one leaf more; trees of all
    tasks follow each other.
      column: i32[B, W, N], that a node reads.
      threshold: f32[B, W, N]; numbers up to it go left.
      kind: i32[B, W, N], see _IS_SET.
      first, words: i32[B, W, N], place and length of a node's set in `sets`.
      child: i32[B, W, N, 2], left and right; of leaf l it is -1 - l.
      value: f32[B, W, N + 1], of leaves.
      task: f32[B, W, K], 1 for the tree's task.
      sets: i32[words], bits of categories that go left.
    All are under `trees`; `rates` follow, if there are any.
  """
  trees = [(k, m, tree) for k, m in enumerate(models) for tree in m.trees]
  flat = [list(_nodes(tree['tree_structure'])) for _, _, tree in trees]
  nodes = max([1, *(len([n for n in f if 'left_child' in n]) for f in flat)])
  blocks = max(-(-len(trees) // _BLOCK), 1)
  width = min(max(len(trees), 1), _BLOCK)
  shape = blocks * width, nodes
  numbers = {
    name: np.zeros(shape, np.int32)
    for name in ('column', 'kind', 'first', 'words')
  }
  threshold = np.zeros(shape, np.float32)
  child = np.full((*shape, 2), -1, np.int32)
  value = np.zeros((shape[0], nodes + 1), np.float32)
  task = np.zeros((shape[0], len(models)), np.float32)
  sets: list[np.ndarray] = [np.zeros(1, np.int32)]
  used = 1
  for t, (k, model, _) in enumerate(trees):
    task[t, k] = 1.0
    # Their numbers in the tree; a single leaf has none.
    inner = [node for node in flat[t] if 'left_child' in node]
    leaves = [node for node in flat[t] if 'left_child' not in node]
    place = {id(node): n for n, node in enumerate(inner)}
    place |= {id(leaf): -1 - n for n, leaf in enumerate(leaves)}
    for n, leaf in enumerate(leaves):
      value[t, n] = leaf['leaf_value']
    for n, node in enumerate(inner):
      kind = _TYPE * _MISSING[node['missing_type']]
      kind += _MISSING_LEFT * bool(node['default_left'])
      if node['decision_type'] == '==':
        kind += _IS_SET
        words = _bits([int(c) for c in node['threshold'].split('||')])
        numbers['first'][t, n], numbers['words'][t, n] = used, len(words)
        sets.append(words)
        used += len(words)
      else:
        threshold[t, n] = _down(node['threshold'])
      numbers['kind'][t, n] = kind
      numbers['column'][t, n] = model.columns[node['split_feature']]
      for side, name in enumerate(('left_child', 'right_child')):
        child[t, n, side] = place[id(node[name])]
  parts = {**numbers, 'threshold': threshold, 'child': child}
  parts |= {'value': value, 'task': task}
  blocked = {
    name: part.reshape(blocks, width, *part.shape[1:])
    for name, part in parts.items()
  }
  params = {'trees': {**blocked, 'sets': np.concatenate(sets)}}
  if rates:
    params['rates'] = {str(i): np.float32(x) for i, x in rates.items()}
  return params


def _nodes(root: dict[str, Any]) -> list[dict[str, Any]]:
  """All nodes of a tree, the root first."""
  found = [root]
  for node in found:
    found += [node[n] for n in ('left_child', 'right_child') if n in node]
  return found


def _down(number: float) -> np.float32:
  """The largest finite float32 that is not above: x <= it iff x <= number.

  LightGBM writes an endless threshold where only missing values go right.
  """
  near = np.float32(np.clip(number, -_LARGEST, _LARGEST))
  # In float64: NumPy would round a Python number to float32 first.
  if float(near) <= number or near == -_LARGEST:
    return near
  return np.nextafter(near, -np.float32(np.inf))


def _bits(categories: Sequence[int]) -> np.ndarray:
  """A set of categories as words of 32 bits, the lowest first."""
  is_in = np.zeros((max(categories) // 32 + 1) * 32, bool)
  is_in[list(categories)] = True
  return np.packbits(is_in, bitorder='little').view('<i4').astype(np.int32)


def scores(params: functional.Params, columns: jax.Array) -> jax.Array:
  """Logits f32[R, K] of rows f32[R, C]."""
  trees = dict(params['trees'])
  sets, rows = jnp.asarray(trees.pop('sets')), columns.shape[0]

  def add(total, block):
    task, value = block.pop('task'), block.pop('value')
    width = len(task)
    tree = jnp.arange(width)

    def go_down(node):
      at = tree[None], jnp.maximum(node, 0)
      left = _goes_left(columns, sets, *(block[n][at] for n in _NODE))
      below = block['child'][*at, jnp.where(left, 0, 1)]
      return jnp.where(node < 0, node, below)

    leaf = jax.lax.while_loop(
      lambda node: jnp.any(node >= 0),
      go_down,
      jnp.zeros((rows, width), jnp.int32),
    )
    found = value[tree[None], -1 - leaf]
    highest = jax.lax.Precision.HIGHEST
    return total + jnp.matmul(found, task, precision=highest), None

  start = jnp.zeros((rows, trees['task'].shape[-1]))
  return jax.lax.scan(add, start, trees)[0]


_NODE = ('column', 'threshold', 'kind', 'first', 'words')


def _goes_left(columns, sets, column, threshold, kind, first, words):
  """Whether rows go left at their nodes, as Tree::Decision of LightGBM has it.

  Args:
    columns: f32[R, C].
    sets: i32[words].
    column, threshold, kind, first, words: of the nodes, [R, W].
  """
  x = jnp.take_along_axis(columns, column, 1)
  is_nan, missing = jnp.isnan(x), kind // _TYPE
  number = jnp.where(is_nan, 0.0, x)
  is_missing = jnp.where(
    missing == _MISSING['NaN'],
    is_nan,
    (missing == _MISSING['Zero']) & (jnp.abs(number) <= _ZERO),
  )
  # Infinity is below an endless threshold, which is the largest number here.
  below = jnp.minimum(number, _LARGEST) <= threshold
  left = jnp.where(is_missing, kind & _MISSING_LEFT != 0, below)
  # Categories are cut to whole numbers; those beyond a set are not in it.
  category = number.astype(jnp.int32)
  word = category // 32
  found = sets[first + jnp.clip(word, 0, jnp.maximum(words - 1, 0))]
  is_in = (found >> (category % 32)) & 1 != 0
  is_in &= (category >= 0) & (word < words) & ~is_nan
  return jnp.where(kind & _IS_SET != 0, is_in, left)

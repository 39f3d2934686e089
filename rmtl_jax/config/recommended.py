"""Settings that the data decide: those that are 0 or `auto`.

Chosen on RetailRocket, Criteo attribution, KuaiRand, Census-Income, REES46 and
simulated logs.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import Any, NamedTuple

from rmtl_jax import extras
from rmtl_jax.config import cross_pairs, run_settings, variants
from rmtl_jax.config import values as config_values

AUTO = 'auto'
# A categorical field with more values is an id: many of its test values are
# not in the train rows.
MOST_CATEGORIES = 200
# Steps that an epoch should have, so that early stopping can choose among
# epochs, and steps without a better validation that stages wait for.
_STEPS, _PATIENCE_STEPS = 50, 250
# Train rows that pairs of crossed categories have on average, at least; and
# those that all terms together have each.
_ROWS_OF_A_PAIR, _ROWS_OF_A_TERM = 20, 8
# Ids overfit within few steps: smaller ones, so that an epoch can be chosen.
_WITH_IDS = 'pretrain.learning_rate=0.0003'
_LANES = (2, 32)
# Tables of more rows cost more in steps than a second compilation.
_MANY_IDS = 50_000
# Another seed where rows are few: a mean is better there, and compiling, which
# seeds of a form share, is most of a run.
_FEW_ROWS = 10_000


class _Size(NamedTuple):
  """Networks for up to so many train rows."""

  rows: float
  embedding_dim: int
  bottom_units: tuple[int, ...]
  tower_units: tuple[int, ...]
  epochs: int


_SIZES = (
  _Size(1e6, 8, (64, 32), (16,), 60),
  _Size(2e7, 16, (128, 64), (32,), 20),
  _Size(math.inf, 32, (256, 128), (64, 32), 8),
)


def resolve(
  config: run_settings.Config, manifest: Any, one_model: bool = False
) -> run_settings.Config:
  """The settings, with the values for these data in place of 0 and `auto`.

  Args:
    config: settings; without 0 or `auto` they stay as they are.
    manifest: of the prepared data.
    one_model: of members that the data decide, take the first alone.
  """
  rows = manifest.splits['train'].rows
  size = next(one for one in _SIZES if rows <= one.rows)
  network, batch, first = config.network, config.batch, config.pretrain
  least, most = _LANES
  per_step = _STEPS * batch.lane_length
  # Powers of two, which meshes divide.
  lanes = 2 ** int(math.log2(min(max(rows / per_step, least), most)))
  lanes = batch.lanes or lanes
  steps = max(rows / (lanes * batch.lane_length), 1)
  patience = min(max(math.ceil(_PATIENCE_STEPS / steps), 2), 12)
  crosses = network.crosses
  if crosses == AUTO:
    pairs = (
      _crossed(manifest, rows) if network.embedding_adam == 'dense' else ()
    )
    crosses = cross_pairs.joined(pairs)
  found = dataclasses.replace(
    config,
    network=dataclasses.replace(
      network,
      embedding_dim=network.embedding_dim or size.embedding_dim,
      bottom_units=_given(network.bottom_units) or size.bottom_units,
      tower_units=_given(network.tower_units) or size.tower_units,
      crosses=crosses,
    ),
    batch=dataclasses.replace(batch, lanes=lanes),
    pretrain=dataclasses.replace(
      first,
      max_epochs=first.max_epochs or size.epochs,
      patience=first.patience or patience,
    ),
  )
  return config_values.validate(_with_members(found, manifest, one_model))


def _given(units: tuple[int, ...]) -> tuple[int, ...]:
  return () if units == (0,) else units


def _with_members(
  config: run_settings.Config, manifest: Any, one_model: bool
) -> run_settings.Config:
  """With `ensemble` and `variants` for the data."""
  if config.variants != AUTO:
    count = config.ensemble or config.variants.count(';') + 1
    return dataclasses.replace(config, ensemble=count)
  texts = _variants(id_fields(manifest), manifest)
  count = len(texts) + (manifest.splits['train'].rows <= _FEW_ROWS)
  variety = ';'.join(texts)
  if one_model or config.ensemble == 1:
    alone = dataclasses.replace(
      config, ensemble=max(len(texts), 1), variants=variety
    )
    first = variants.first(alone)
    return dataclasses.replace(first, ensemble=config.ensemble or 1)
  return dataclasses.replace(
    config, ensemble=config.ensemble or count, variants=variety
  )


def _variants(ids: list[str], manifest: Any) -> list[str]:
  """Variants of the members: without ids, with ids, and LightGBM's trees.

  Without LightGBM, or where it would not predict every task, the networks are
  alone; where there are no ids, they are two seeds.
  """
  networks = [
    f'network.hide={"+".join(ids)}',
    f'network.hide=none:{_WITH_IDS}',
  ]
  # A step of the dense Adam updates tables of hidden fields too.
  sizes = {field.name: field.size for field in manifest.fields}
  if sum(sizes[name] for name in ids) > _MANY_IDS:
    networks = [f'network.ignore={"+".join(ids)}', _WITH_IDS]
  # Features of the past have the rates of ids; without them, the trees learn
  # these from the ids.
  has_past = any('as_of' in field.details for field in manifest.fields)
  hidden = f'network.ignore={"+".join(ids)}:' if has_past else ''
  trees = f'{hidden}backbone=lightgbm'
  # Without ids a network would see nothing; or settings can't hide them.
  if len(ids) == len(manifest.fields) or not all(map(_can_be_named, ids)):
    networks, trees = [_WITH_IDS, _WITH_IDS], 'backbone=lightgbm'
  if not ids:
    networks, trees = ['', ''], 'backbone=lightgbm'
  has_trees = all(task.is_binary for task in manifest.tasks) and not (
    extras.unavailable('lightgbm')
  )
  return [*networks, trees] if has_trees else networks


def _crossed(manifest: Any, rows: int) -> list[tuple[str, str]]:
  """Pairs of few categories, with some rows for each pair of categories."""
  if rows <= _FEW_ROWS:
    return []
  found, terms = [], 0
  for names, values in _across_sides(manifest):
    terms += values
    if values * _ROWS_OF_A_PAIR <= rows >= terms * _ROWS_OF_A_TERM:
      found.append(names)
  return found


def _across_sides(
  manifest: Any, most: float = MOST_CATEGORIES
) -> list[tuple[tuple[str, str], int]]:
  """Every small field of the user's side with every one of the item's.

  Returns:
    Their names, and how many pairs of categories there are; the smallest first.
  """
  fields = _small_fields(manifest, most)
  users, items = (
    [one for one in fields if one.details.get('side') == side]
    for side in ('user', 'item')
  )
  found = [
    ((user.name, item.name), user.size * item.size)
    for user, item in itertools.product(users, items)
  ]
  return sorted(found, key=lambda one: one[1])


def id_fields(manifest: Any) -> list[str]:
  """Fields of many values, and lists of the same values.

  A field with vectors describes its values, so it does not count as an id.
  """
  ids = [
    field.name
    for field in manifest.fields
    if field.kind == 'categorical'
    and field.size - 1 > MOST_CATEGORIES
    and field.details.get('transform') != 'bins'
    and 'vectors' not in field.details
  ]
  return ids + [
    field.name for field in manifest.fields if field.vocabulary_owner in ids
  ]


def _small_fields(manifest: Any, most: float = MOST_CATEGORIES) -> list[Any]:
  """Categorical fields with few values and names that settings can contain."""
  return [
    field
    for field in manifest.fields
    if field.kind == 'categorical'
    and 2 < field.size <= most + 1  # a single value is useless
    and field.details.get('transform') != 'bins'
    and _can_be_named(field.name)
  ]


def _can_be_named(name: str) -> bool:
  """Whether settings can have a field's name: other engines may write any."""
  return not {*'*+:;='} & set(name)

"""Parameters that move to other vocabularies: what they say stays the same."""

import dataclasses
import functools

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import backbone_registry, embeddings, from_settings
from rmtl_jax.updates import vocabulary_moves
from tests.networks import small

pytestmark = pytest.mark.slow

OLD = types.FeatureSpec(
  categorical=(4, 6, 3),
  multi_valued=((5, 2), (6, 3)),
  numeric=2,
  num_tasks=2,
  names=('user', 'item', 'since', 'tags', 'history'),
  vocabulary_owners=(None, 1),
  numeric_names=('price', 'age'),
)
NEW = dataclasses.replace(
  OLD, categorical=(5, 9, 4), multi_valued=((6, 2), (9, 3))
)
# Where the new rows come from; of items 2 and 5 are gone.
SOURCES = {
  'user': [0, 3, -1, 2, 1],
  'item': [0, 4, -1, 1, -1, 3, -1, -1, -1],
  'since': [0, 1, -1, 2],
  'tags': [0, 1, 2, 3, 4, -1],
}


@pytest.fixture(autouse=True)
def _no_noise(monkeypatch):
  monkeypatch.setattr(vocabulary_moves, 'NOISE', 0.0)


def rows(source):
  source = np.array(source, np.int32)
  return vocabulary_moves.Rows(source, bool((source < 0).any()))


MOVES = vocabulary_moves.Moves(
  OLD, NEW, {name: rows(one) for name, one in SOURCES.items()}
)


def actor(spec, backbone, config):
  return from_settings.make_actor(spec, backbone, config)


def moved(make, old_params, seed=1):
  fresh = small.params(make(NEW), seed)

  def move(old_params, fresh, arrays):
    key = jax.random.key(2)
    return vocabulary_moves.move(MOVES, old_params, fresh, arrays, key)

  return small.jit(move)(old_params, fresh, MOVES.arrays)


def seen_inputs():
  """Rows of the new data with values that both vocabularies have."""
  made = small.inputs(NEW, lanes=2, slots=4)
  segment = np.array([[1, 1, 2, 2], [3, 3, 3, 4]], np.int32)
  known = {
    n: [i for i, s in enumerate(one) if s >= 0] for n, one in SOURCES.items()
  }
  rng = np.random.default_rng(3)
  columns = [
    rng.choice(known[name], (2, 4)).astype(np.int32)
    for name in ('user', 'item', 'since')
  ]
  lists = [
    rng.choice(known[name], (2, 4, width)).astype(np.int32)
    for name, width in (('tags', 2), ('item', 3))
  ]
  new = made._replace(
    categorical=np.stack(columns, -1),
    multi_valued=np.concatenate(lists, -1),
    segment=segment,
  )
  names = ('user', 'item', 'since', 'tags', 'tags', 'item', 'item', 'item')
  values = np.concatenate([new.categorical, new.multi_valued], -1)
  old = np.stack(
    [
      np.array(SOURCES[n], np.int32)[values[..., i]]
      for i, n in enumerate(names)
    ],
    -1,
  )
  return new, new._replace(categorical=old[..., :3], multi_valued=old[..., 3:])


@pytest.mark.parametrize('backbone', backbone_registry.trained())
def test_every_backbone_says_the_same_of_known_values(backbone):
  config = small.CONFIG
  if backbone == 'mmoe':
    config = dataclasses.replace(config, crosses='user*item')
  make = functools.partial(actor, backbone=backbone, config=config)
  network, other = make(OLD), make(NEW)
  params = small.params(network)
  new, old = seen_inputs()
  expected = small.run(network, params, old)
  found = small.run(other, moved(make, params), new)
  np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)


def table_of(params, spec, field):
  start = embeddings.offsets(spec)[field]
  return np.asarray(params['first']['table'])[start:][: spec.categorical[field]]


def test_where_new_categories_start():
  make = functools.partial(actor, backbone='mmoe', config=small.CONFIG)
  params = small.params(make(OLD))
  old = table_of(params, OLD, 1)
  found = table_of(moved(make, params), NEW, 1)
  np.testing.assert_array_equal(found[[0, 1, 3, 5]], old[[0, 4, 1, 3]])
  row_0 = np.tile(old[:1], (5, 1))
  np.testing.assert_allclose(found[[2, 4, 6, 7, 8]], row_0, rtol=1e-5)

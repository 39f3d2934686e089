"""What the recommended settings make of a log's size and fields."""

import math
import types as python_types

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import extras
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib

SMALL = manifest_lib.Field('country', 'categorical', 40)
USER = manifest_lib.Field('user', 'categorical', 5000)
BINS = manifest_lib.Field(
  'asof_gap', 'categorical', 300, details={'transform': 'bins', 'as_of': 'gap'}
)
ITEM = manifest_lib.Field('item', 'categorical', 900)
HISTORY = manifest_lib.Field('seen', 'multi_valued', 900, 20, {}, 'item')


CLICK = (manifest_lib.Task('click'),)


def manifest(rows, fields, tasks=CLICK):
  train = python_types.SimpleNamespace(rows=rows)
  return python_types.SimpleNamespace(
    splits={'train': train}, fields=fields, tasks=tasks
  )


@pytest.fixture(autouse=True)
def lightgbm(monkeypatch):
  """There, whether it is installed or not."""
  monkeypatch.setattr(extras, 'unavailable', lambda package: '')


def config(rows, fields=(SMALL, USER, BINS, ITEM, HISTORY)):
  return config_lib.resolve(config_lib.Config(), manifest(rows, fields))


def test_members_are_without_ids_with_ids_and_trees():
  """Fields of many values that are no bins, and lists of the same values."""
  first, second, third = variants.of_members(config(50_000))
  hidden = [one.network.hide for one in (first, second, third)]
  assert hidden == ['user+item+seen', 'none', '']
  assert third.network.ignore == 'user+item+seen'
  backbones = [one.backbone for one in (first, second, third)]
  assert backbones == ['ple', 'ple', 'lightgbm']
  rates = [one.pretrain.learning_rate for one in (first, second)]
  assert rates == [1e-3, 3e-4]


def test_trees_read_ids_where_there_are_no_features_of_the_past():
  third = list(variants.of_members(config(50_000, (SMALL, USER))))[2]
  assert third.backbone == 'lightgbm' and not third.network.ignore


def test_without_ids_networks_have_two_seeds():
  """Nor where settings can't hide them, or nothing else is there."""
  backbones = ['ple', 'ple', 'lightgbm']
  for fields in (
    (SMALL, BINS),
    (USER, ITEM, HISTORY),
    *((SMALL, category(name)) for name in ('user:id', 'user;id', 'user+id')),
  ):
    found = variants.of_members(config(50_000, fields))
    assert [one.backbone for one in found] == backbones
    assert not any(one.network.ignore for one in found)
    assert found[0] == found[1]
  esmm = config_lib.resolve(
    config_lib.Config(backbone='esmm'), manifest(50_000, (SMALL, BINS))
  )
  backbones = [one.backbone for one in variants.of_members(esmm)]
  assert backbones == ['esmm', 'esmm', 'lightgbm']


def category(name):
  return manifest_lib.Field(name, 'categorical', 5000)


def sided(name, size, side, **details):
  return manifest_lib.Field(
    name, 'categorical', size, details={'side': side, **details}
  )


def test_what_is_known_of_users_is_crossed_with_what_is_known_of_items():
  """Ids, bins and fields of neither side are not."""
  fields = (
    *(SMALL, USER, BINS, ITEM),
    *(sided('segment', 11, 'user'), sided('id', 900, 'user')),
    *(sided('category', 21, 'item'), sided('brand', 41, 'item')),
    sided('rate', 11, 'item', transform='bins'),
    sided('a*b', 5, 'item'),
  )
  crosses = config(50_000, fields).network.crosses
  assert crosses == 'segment*category+segment*brand'


def test_all_terms_together_have_eight_rows_each():
  """Smaller pairs of fields come first: 110, 121, 121 and so on."""
  fields = (
    *(sided(f'u{i}', 11, 'user') for i in range(9)),
    *(sided('small', 10, 'item'), sided('large', 11, 'item')),
  )
  first = '+'.join(f'u{i}*small' for i in range(9))
  rows = 8 * (9 * 110 + 3 * 121)
  three = '+'.join(f'u{i}*large' for i in range(3))
  assert config(rows, fields).network.crosses == f'{first}+{three}'
  two = '+'.join(f'u{i}*large' for i in range(2))
  assert config(rows - 1, fields).network.crosses == f'{first}+{two}'


@pytest.mark.parametrize('rows', [1, 300, 3_000, 45_000, 10**6, 10**8, 10**10])
def test_an_epoch_has_steps_and_stages_have_patience(rows):
  found = config(rows)
  slots = found.batch.lanes * found.batch.lane_length
  steps = math.ceil(rows / slots)
  # Batches of two lanes are the smallest.
  assert steps >= 50 or slots == 2 * 64
  assert math.log2(found.batch.lanes).is_integer()
  patience = found.pretrain.patience
  assert 2 <= patience <= 12
  assert patience * steps >= 250 or patience == 12


def test_given_settings_stay_and_one_model_is_the_first_member():
  log = manifest(50_000, (SMALL, USER, BINS, ITEM, HISTORY))

  def resolved(one_model=False, **given):
    config = config_values.with_settings(config_lib.Config(), given)
    return config_lib.resolve(config, log, one_model)

  given = {'network.embedding_dim': 4, 'batch.lanes': 3, 'pretrain.patience': 7}
  found = config_values.flatten(resolved(**given))
  assert {name: found[name] for name in given} == given
  one = resolved(ensemble=1)
  assert (one.ensemble, one.variants) == (1, '')
  assert one.network.hide == 'user+item+seen'
  assert resolved(one_model=True) == one
  assert not resolved(ensemble=1, variants='').network.hide
  assert resolved(one_model=True, ensemble=3).ensemble == 3
  # Nothing is left to decide.
  for config in (found := resolved(), config_lib.preset('paper')):
    assert config_lib.resolve(config, log) == config

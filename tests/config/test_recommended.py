"""What the recommended settings make of a log's size and fields."""

import math
import types as python_types

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.config import recommended, variants
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib

SMALL = manifest_lib.Field('country', 'categorical', 40)
USER = manifest_lib.Field('user', 'categorical', 5000)
BINS = manifest_lib.Field(
  'asof_gap', 'categorical', 300, details={'transform': 'bins'}
)
ITEM = manifest_lib.Field('item', 'categorical', 900)
HISTORY = manifest_lib.Field('seen', 'multi_valued', 900, 20, {}, 'item')


def manifest(rows, fields, split_by_time=True):
  train = python_types.SimpleNamespace(rows=rows)
  return python_types.SimpleNamespace(
    splits={'train': train}, fields=fields, split_by_time=split_by_time
  )


def config(rows, fields=(SMALL, USER, BINS, ITEM, HISTORY)):
  found = config_lib.preset('recommended', manifest(rows, fields))
  return config_values.validate(found)


def test_one_member_sees_no_ids_and_one_is_linear():
  """Fields of many values that are no bins, and lists of the same values."""
  first, second, third = variants.of_members(config(50_000))
  assert first.network.ignore == 'user+item+seen'
  assert second.network.ignore == third.network.ignore == ''
  backbones = [one.backbone for one in (first, second, third)]
  assert backbones == ['ple', 'ple', 'linear']
  rates = [one.pretrain.learning_rate for one in (first, second, third)]
  assert rates == [1e-3, 3e-4, 3e-4]
  assert [one.network.trees for one in (first, second, third)] == [0, 0, 300]


def test_without_ids_one_form_has_two_seeds():
  found = variants.of_members(config(50_000, (SMALL, BINS)))
  assert [one.backbone for one in found] == ['ple', 'linear', 'ple']
  assert not any(one.network.ignore for one in found)


def test_without_ids_a_backbone_of_ones_own_is_that_of_the_networks():
  found = config_lib.preset('recommended', manifest(50_000, (SMALL, BINS)))
  esmm = config_values.with_settings(found, {'backbone': 'esmm'})
  backbones = [one.backbone for one in variants.of_members(esmm)]
  assert backbones == ['esmm', 'linear', 'esmm']


def test_few_rows_get_another_seed():
  first, second, third, fourth = variants.of_members(config(10_000))
  assert fourth == first and len({first, second, third}) == 3
  assert len(variants.of_members(config(10_001))) == 3
  assert len(variants.of_members(config(300, (SMALL, BINS)))) == 4


def test_a_log_of_ids_alone_has_no_member_without_them():
  found = variants.of_members(config(50_000, (USER, ITEM, HISTORY)))
  assert not any(one.network.ignore for one in found)
  assert [one.backbone for one in found] == ['ple', 'linear', 'ple']
  assert {one.pretrain.learning_rate for one in found} == {3e-4}


def test_ids_whose_names_settings_can_not_have_are_not_hidden():
  for name in ('user:id', 'user;id', 'user+id'):
    id_field = manifest_lib.Field(name, 'categorical', 5000)
    found = variants.of_members(config(50_000, (SMALL, id_field)))
    assert not any(one.network.ignore for one in found)
    assert [one.backbone for one in found] == ['ple', 'linear', 'ple']


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


def test_pairs_have_twenty_rows_on_average():
  """21 x 41 categories, row 0 of both included; few rows have none."""
  fields = (sided('segment', 21, 'user'), sided('category', 41, 'item'))
  assert config(17220, fields).network.crosses == 'segment*category'
  assert config(17219, fields).network.crosses == ''
  fields = (sided('segment', 5, 'user'), sided('category', 5, 'item'))
  assert config(10_000, fields).network.crosses == ''
  assert config(10_001, fields).network.crosses == 'segment*category'


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


def test_trees_read_pairs_of_either_side_the_smallest_first():
  """No ids, no bins; the linear member alone has trees."""
  fields = (
    *(SMALL, BINS, sided('id', 900, 'user'), sided('segment', 11, 'user')),
    *(sided('shop', 1000, 'item'), sided('brand', 201, 'item')),
    *(sided('only', 2, 'item'), sided('a:b', 5, 'item')),
    *(sided('colour', 21, 'item'), sided('r', 5, 'item', transform='bins')),
  )
  for rows in (3000, 50_000):
    found = config(rows, fields)
    assert found.network.tree_pairs == 'segment*colour+segment*brand'
    members = variants.of_members(found)
    assert {one.backbone for one in members if one.network.trees} == {'linear'}
  many = [sided(f'u{i}', 3, 'user') for i in range(40)]
  found = config(3000, (*many, fields[5]))
  assert found.network.tree_pairs.count('*') == 30
  assert 'tree_pairs' not in variants.difference(found, 1)


def test_a_search_is_offered_pairs_of_ids_with_a_row_for_each():
  fields = (
    *(sided('id', 900, 'user'), sided('segment', 11, 'user')),
    *(sided('shop', 1000, 'item'), sided('brand', 201, 'item')),
  )
  small, more = 'segment*brand', 'segment*brand+segment*shop'

  def pairs(rows):
    return recommended.tree_pairs_with_ids(manifest(rows, fields))

  assert [pairs(10_999), pairs(11_000)] == [small, more]
  assert pairs(180_900) == f'{more}+id*brand'
  # However many rows there are, tables stay small.
  assert pairs(10**8) == f'{more}+id*brand'
  # Where the parts have the same ids, they are recommended.
  for by_time, expected in ((True, small), (False, more)):
    found = config_lib.preset('recommended', manifest(11_000, fields, by_time))
    assert found.network.tree_pairs == expected


def test_small_fields_are_parted_those_of_no_side_too():
  fields = (
    *(SMALL, BINS, USER, sided('segment', 11, 'user')),
    *(sided('brand', 201, 'item'), sided('shop', 202, 'item')),
  )
  found = config(3000, fields).network.tree_categories
  assert found == f'{SMALL.name}+segment+brand'


def test_programs_of_few_rows_are_compiled_quickly():
  assert config(100_000).batch.compiling == 'quick'
  assert config(100_001).batch.compiling == 'full'


def test_an_item_with_vectors_is_more_than_an_id():
  described = manifest_lib.Field(
    'item', 'categorical', 900, details={'vectors': {}}
  )
  first, *_ = variants.of_members(config(50_000, (SMALL, USER, described)))
  assert first.network.ignore == 'user'


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


def test_networks_grow_with_the_rows():
  dims = [config(r).network.embedding_dim for r in (10**4, 10**7, 10**9)]
  assert dims == sorted(set(dims))
  assert recommended.MOST_CATEGORIES == 200


def test_it_records_its_name_and_keeps_the_control():
  found = config(1000)
  assert found.preset == 'recommended' and found.control
  assert found.evaluation.monitor == 'logloss'
  assert found.evaluation.calibration == 'platt'

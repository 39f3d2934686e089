"""Networks that ignore fields against networks for data without them."""

import dataclasses

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.networks import (
  backbone_registry,
  from_settings,
  functional,
  ignore,
)
from rmtl_jax.training import models
from tests import paper, tiers
from tests.networks import small

SPEC = types.FeatureSpec(
  categorical=(4, 6, 5, 7),
  multi_valued=((5, 3), (4, 2)),
  numeric=3,
  num_tasks=2,
  names=('user', 'gap', 'item', 'rate', 'tags', 'marks'),
  numeric_names=('price', 'age', 'rates'),
  quantiles=((-1.0, 1.0), (0.0, 2.0), (-1.0, 0.0, 3.0)),
  groups=(
    ('gap', ('gap',)),
    ('views', ()),
    ('rates', ('rate', 'marks')),
    ('counts', ('age',)),
  ),
)
# Without user, rate (categorical), tags (multi-valued) and age (numeric).
SETTING = 'user+rate+tags+counts'
REST = types.FeatureSpec(
  categorical=(6, 5),
  multi_valued=((4, 2),),
  numeric=2,
  num_tasks=2,
  names=('gap', 'item', 'marks'),
  numeric_names=('price', 'rates'),
  quantiles=((-1.0, 1.0), (-1.0, 0.0, 3.0)),
  groups=(
    ('gap', ('gap',)),
    ('views', ()),
    ('rates', ('marks',)),
    ('counts', ()),
  ),
)


def config(setting, **more):
  return dataclasses.replace(small.CONFIG, ignore=setting, **more)


def inputs(seed=0):
  segment = np.array([[3, 3, 3], [1, 0, 0]], np.int32)
  return small.inputs(SPEC, seed)._replace(segment=segment)


def rest(values):
  """The columns of REST, written out."""
  return types.Inputs(
    values.categorical[..., [1, 2]],
    values.multi_valued[..., [3, 4]],
    values.numeric[..., [0, 2]],
    values.segment,
  )


def named(name, spec, network):
  """A network of either kind, with its arguments after the inputs."""
  if name in backbone_registry.BACKBONES:
    return from_settings.make_actor(spec, name, network), ()
  critic = paper.critic(form=name)
  return from_settings.make_critic(spec, network, critic), (small.actions(2),)


FORMS = [
  ('ple', 'plain'),
  ('single_task', 'distinct'),
  ('esmm', 'distinct'),
  ('shared', 'distinct'),
  ('separate', 'plain'),
]


@pytest.mark.parametrize(
  ('name', 'form'),
  tiers.some(FORMS, [('ple', 'plain')]),
)
@pytest.mark.parametrize(
  'encoding', tiers.some(('linear', 'piecewise'), ('piecewise',))
)
def test_equals_a_network_for_data_without_the_fields(name, form, encoding):
  more = {
    'first_layer': form,
    'numeric_encoding': encoding,
  }
  one, args = named(name, SPEC, config(SETTING, **more))
  other, _ = named(name, REST, config('', **more))
  key = jax.random.key(3)
  shapes = [jax.eval_shape(network.init, key) for network in (one, other)]
  assert shapes[0] == shapes[1]
  params = small.params(other)
  found = small.run(one, params, inputs(), *args, dropout_key=key)
  expected = small.run(other, params, rest(inputs()), *args, dropout_key=key)
  np.testing.assert_array_equal(found, expected)
  assert np.ptp(found) > 1e-3


@pytest.mark.parametrize('name', ['ple', 'critic'])
def test_hidden_fields_are_missing_in_every_row(name):
  one, args = named(name, SPEC, config('', hide=SETTING))
  plain, _ = named(name, SPEC, config(''))
  params = small.params(plain)
  shown = ignore.shown(SETTING, SPEC)
  x = inputs()
  blank = x._replace(
    categorical=x.categorical * [0, 1, 1, 0],
    multi_valued=np.where([0, 0, 0, 1, 1], x.multi_valued, -1),
    numeric=x.numeric * np.float32([1, 0, 1]),
  )
  found = small.run(one, functional.with_shown(params, shown), x, *args)
  np.testing.assert_array_equal(found, small.run(plain, params, blank, *args))
  assert np.ptp(found) > 1e-3


def test_networks_that_hide_other_fields_share_their_programs():
  made = models.Models(SPEC)
  configs = [
    paper.config(backbone='ple', network=config('', hide=hide))
    for hide in ('user+rate', 'none', '')
  ]
  for program in (made.pretrain, made.train_critics, made.finetune):
    first, second, other = map(program, configs)
    assert first is second is not other


DERIVED = (
  types.Derived('gap_rank', (1,), ((-1.0, 0.0, 1.0, 2.0),), (-1.0, 0.0, 2.0)),
  types.Derived('rates_sum', (1, 3), ((1.0, 2.0), (4.0, 8.0)), (1.0, 12.0)),
)
BINNED = dataclasses.replace(SPEC, derived=DERIVED)


def test_binned_fields_are_read_as_numbers():
  values = inputs()
  gap, rate = values.categorical[..., 1], values.categorical[..., 3]
  # Row 0, and rows beyond those that are listed, add nothing.
  rank = np.array([0, -1, 0, 1, 2, 0], np.float32)[gap]
  total = (
    np.array([0, 1, 2, 0, 0, 0])[gap] + np.array([0, 4, 8, *4 * [0]])[rate]
  )
  seen = ignore.view(BINNED, config('', binned_fields='numbers'))
  # The sum is of no field alone, so the rate stays what it was.
  assert 'gap' not in seen.spec.names and 'rate' in seen.spec.names
  numeric = seen.narrow(values).numeric
  np.testing.assert_array_equal(numeric[..., :3], values.numeric)
  np.testing.assert_array_equal(numeric[..., 3], rank)
  np.testing.assert_array_equal(numeric[..., 4], total)
  given = np.array([0, 1, 1, 1, 1, 0], np.float32)[gap]
  np.testing.assert_array_equal(numeric[..., 5], given)
  assert seen.spec.numeric == 6 and seen.spec.derived == ()
  names = ('gap_rank', 'rates_sum', 'gap_rank_given')
  assert seen.spec.numeric_names[3:] == names
  assert seen.spec.quantiles[3:] == ((-1.0, 0.0, 2.0), (1.0, 12.0), (0.0, 1.0))
  assert ignore.view(BINNED, config('')) is None


def test_a_missing_number_is_two_numbers():
  """To the bit what a network makes of data that have both written out."""
  spec = dataclasses.replace(SPEC, missing=(0, 2))
  values = inputs()
  numbers = values.numeric.copy()
  numbers[0, 1, 0] = numbers[1, 0, 2] = numbers[1, 0, 0] = np.nan
  written = np.concatenate(
    [np.nan_to_num(numbers), np.isnan(numbers)[..., [0, 2]]], -1
  ).astype(np.float32)
  both = dataclasses.replace(
    SPEC, numeric=5, quantiles=(*SPEC.quantiles, (), ())
  )
  for encoding in ('linear', 'piecewise'):
    sizes = config('', numeric_encoding=encoding)
    ours = from_settings.make_actor(spec, 'ple', sizes)
    plain = from_settings.make_actor(both, 'ple', sizes)
    params = small.params(plain)
    np.testing.assert_array_equal(
      small.run(ours, params, values._replace(numeric=numbers)),
      small.run(plain, params, values._replace(numeric=written)),
    )

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from tests import paper
from tests.config import companions

FLAT = config_values.flatten(config_lib.Config())
NUMBERS = [
  name
  for name, value in FLAT.items()
  if isinstance(value, int | float) and not isinstance(value, bool)
]
UNITS = [name for name in FLAT if name.endswith('_units')]


def nested(name, value):
  """{'group': {'field': value}} for 'group.field'."""
  for part in reversed(name.split('.')):
    value = {part: value}
  return value


@pytest.mark.parametrize('preset', ['paper', 'official', 'recommended'])
def test_to_dict_then_from_dict(preset):
  config = config_lib.preset(preset)
  assert config_values.from_dict(config_values.to_dict(config)) == config
  as_json = json.loads(json.dumps(config_values.to_dict(config)))
  assert config_values.from_dict(as_json) == config


def test_part_of_a_record_over_a_base():
  base = config_lib.preset('official')
  record = {'seed': 3, 'critic': {'discount': 0.5}}
  config = config_values.from_dict(record, base)
  assert config == dataclasses.replace(
    base, seed=3, critic=dataclasses.replace(base.critic, discount=0.5)
  )
  assert config_values.from_dict({}) == config_lib.Config()


CHOOSING = sorted(name for name in FLAT if config_values.choices(name))


def test_numbers_have_bounds():
  for name in NUMBERS:
    _check_bounds(name)


def _check_bounds(name):
  (limit,) = config_values.kind(name).__metadata__
  low, high = limit.low, limit.high
  kind = type(FLAT[name])
  base = config_values.with_settings(paper.PAPER, companions.of(name))
  for value in (low, high):
    config = config_values.from_dict(nested(name, kind(value)), base)
    assert config_values.flatten(config)[name] == value
  beyond = [kind(low - 1), kind(high + 1)]
  if kind is float:
    beyond += [float('nan'), float('inf'), -float('inf')]
  for value in beyond:
    with pytest.raises(
      types.InputError, match=f'config.{name}: .* is not between {low} and'
    ):
      config_values.from_dict(nested(name, value))


@pytest.mark.parametrize(
  'value', [(), [-1], [0, 8], [1.5], ['8'], [True], [[8]], [2**20 + 1], [None]]
)
def test_layer_sizes(value):
  for name in UNITS:
    with pytest.raises(
      types.InputError, match=f'config.{name}: .*( list of layer|is alone)'
    ):
      config_values.from_dict(nested(name, value))


def test_other_types_are_refused():
  for name, old in FLAT.items():
    for value in (None, {}, 'text', True, 1.5, 3, [8]):
      fits = type(value) is type(old) or (
        isinstance(old, float) and type(value) is int
      )
      if fits or (isinstance(old, tuple) and isinstance(value, list)):
        continue
      message = rf'^config\.{name}: .*is not of type'
      with pytest.raises(types.InputError, match=message):
        config_values.from_dict(nested(name, value))


@pytest.mark.parametrize(
  'record, expected',
  [
    ({'backbon': 'ple'}, 'config.backbon: no such setting (did you mean back'),
    (
      nested('weighting.lambda', 0.5),
      'config.weighting.lambda: no such setting (did you mean lambda_?)',
    ),
    (
      nested('critic.discout', 0.9),
      'config.critic.discout: no such setting (did you mean discount?)',
    ),
    ({'zzz': 1}, 'config.zzz: no such setting'),
    ({3: 1}, 'config.3: no such setting'),
    ({'critic': 3}, 'config.critic: expected a group of settings'),
    ([], 'config: expected a group of settings'),
    (None, 'config: expected a group of settings'),
  ],
)
def test_names_that_do_not_exist(record, expected):
  with pytest.raises(types.InputError) as error:
    config_values.from_dict(record)
  assert str(error.value).startswith(expected)


@pytest.mark.parametrize(
  ('text', 'value'),
  [
    ('network.bottom_units=32-16', (32, 16)),
    ('network.bottom_units=32,16', (32, 16)),
    ('network.bottom_units=32', (32,)),
    ('compare.learning_rates=1e-3,0.1', (1e-3, 0.1)),
    ('network.dropout=0.5', 0.5),
    ('critic.official_targets=True', True),
  ],
)
def test_a_setting_is_read_from_text(text, value):
  name = text.partition('=')[0]
  assert config_values.parse_setting('--x', text, FLAT) == (name, value)
  shown = f'{name}={config_values.setting_text(value)}'
  assert config_values.parse_setting('--x', shown, FLAT) == (name, value)


VALUES = st.recursive(
  st.none()
  | st.booleans()
  | st.integers(-(2**40), 2**40)
  | st.floats()
  | st.text(max_size=5)
  | st.sampled_from(
    sorted({c for name in CHOOSING for c in config_values.choices(name)})
  ),
  lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.text(max_size=3), inner, max_size=2)
  ),
  max_leaves=4,
)


@settings(deadline=None, max_examples=300)
@given(st.dictionaries(st.sampled_from(sorted(FLAT)), VALUES, max_size=3))
def test_any_record_is_a_config_or_refused(changes):
  record = {}
  for name, value in changes.items():
    *groups, last = name.split('.')
    inner = record
    for group in groups:
      inner = inner.setdefault(group, {})
    inner[last] = value
  try:
    config = config_values.from_dict(record)
  except types.InputError as error:
    assert '\n' not in str(error)
    return
  again = json.loads(json.dumps(config_values.to_dict(config), allow_nan=False))
  assert config_values.from_dict(again) == config
  found = config_values.flatten(config)
  for name, value in changes.items():
    expected = tuple(value) if isinstance(value, list) else value
    assert found[name] == expected
    assert type(found[name]) is type(FLAT[name])


@pytest.mark.parametrize(
  ('weighting', 'expected'),
  [
    ({'name': 'critic'}, None),
    # Controls of it.
    ({'name': 'constant_mean'}, None),
    ({'name': 'q_shuffled', 'form': 'advantage'}, None),
    ({'name': 'q_shuffled', 'form': 'negative_q'}, 'negative_q'),
    ({'name': 'ddpg'}, 'ddpg'),
  ],
)
def test_a_negative_lambda_is_for_those_that_know_it(weighting, expected):
  record = {'weighting': {'lambda_': -0.5, **weighting}}
  if expected is None:
    assert config_values.from_dict(record).weighting.lambda_ == -0.5
    return
  with pytest.raises(
    types.InputError,
    match=rf'weighting\.lambda_: -0\.5 is negative, which {expected} does not'
    ' support; critic, advantage do',
  ):
    config_values.from_dict(record)

import dataclasses
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values
from tests.config import companions

FLAT = config_values.flatten(config_lib.Config())
NUMBERS = [
  name
  for name, value in FLAT.items()
  if isinstance(value, int | float) and not isinstance(value, bool)
]
FLOATS = [name for name in NUMBERS if isinstance(FLAT[name], float)]
UNITS = [name for name in FLAT if name.endswith('_units')]


def nested(name, value):
  """{'group': {'field': value}} for 'group.field'."""
  for part in reversed(name.split('.')):
    value = {part: value}
  return value


@pytest.mark.parametrize('preset', ['paper', 'official', 'retailrocket'])
def test_to_dict_then_from_dict(preset):
  config = config_lib.preset(preset)
  assert config_values.from_dict(config_values.to_dict(config)) == config
  as_json = json.loads(json.dumps(config_values.to_dict(config)))
  assert config_values.from_dict(as_json) == config


def test_a_setting_of_the_network_changes_alone():
  base = config_lib.preset('official')
  found = base.with_network(table_multiple=64, first_layer='plain')
  before, after = config_values.flatten(base), config_values.flatten(found)
  changed = {name: after[name] for name in after if before[name] != after[name]}
  assert changed == {
    'network.table_multiple': 64,
    'network.first_layer': 'plain',
  }


def test_part_of_a_record_over_a_base():
  base = config_lib.preset('official')
  record = {'seed': 3, 'critic': {'discount': 0.5}}
  config = config_values.from_dict(record, base)
  assert config == dataclasses.replace(
    base, seed=3, critic=dataclasses.replace(base.critic, discount=0.5)
  )
  assert config_values.from_dict({}) == config_lib.Config()


def test_settings_that_an_older_record_lacks_are_what_it_did():
  """Whatever its preset: what came later is in the paper's default."""
  record = config_values.to_dict(config_lib.preset('official'))
  later = {
    'network.init': 'scaled',
    'network.aitm_transfer': 'hidden',
    'critic.target_noise_draw': 'row',
  }
  for name in later:
    group, field = name.split('.')
    del record[group][field]
  flat = config_values.flatten(config_values.from_dict(record))
  assert {name: flat[name] for name in later} == later
  assert flat['preset'] == 'official'


def test_flatten_names_every_setting():
  assert FLAT['backbone'] == 'mmoe'
  assert FLAT['network.bottom_units'] == (512, 256)

  def leaves_of(group):
    values = [getattr(group, f.name) for f in dataclasses.fields(group)]
    return sum(
      leaves_of(value) if dataclasses.is_dataclass(value) else 1
      for value in values
    )

  leaves = leaves_of(config_lib.Config())
  assert len(FLAT) == leaves


def test_every_field_has_the_limits_of_its_type():
  """Numbers have a range, lists say of what they are."""
  marked = {name: config_values.kind(name).__metadata__ for name in NUMBERS}
  assert all(isinstance(m[0], limits.Range) for m in marked.values())
  lists = [name for name in FLAT if isinstance(FLAT[name], tuple)]
  for name in lists:
    assert isinstance(config_values.kind(name).__metadata__[0], limits.ListOf)


CHOOSING = sorted(name for name in FLAT if config_values.choices(name))


@pytest.mark.parametrize('name', CHOOSING)
def test_choices(name):
  for value in config_values.choices(name):
    base = config_lib.Config(critic=config_lib.CriticConfig(members=2))
    base = config_values.with_settings(base, companions.of(name))
    config = config_values.from_dict(nested(name, value), base)
    assert config_values.flatten(config)[name] == value
  with pytest.raises(types.InputError, match=f"config.{name}: 'x' is not one"):
    config_values.from_dict(nested(name, 'x'))


@pytest.mark.parametrize('name', NUMBERS)
def test_numbers_have_bounds(name):
  (limit,) = config_values.kind(name).__metadata__
  low, high = limit.low, limit.high
  kind = type(FLAT[name])
  base = config_values.with_settings(config_lib.Config(), companions.of(name))
  if name == 'batch.readers':  # each has a lane
    base = config_values.from_dict(nested('batch.lanes', high))
  for value in (low, high):
    config = config_values.from_dict(nested(name, kind(value)), base)
    assert config_values.flatten(config)[name] == value
  for value in (kind(low - 1), kind(high + 1)):
    with pytest.raises(
      types.InputError, match=f'config.{name}: .* is not between {low} and'
    ):
      config_values.from_dict(nested(name, value))


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_a_stage_has_the_patience_for_an_epoch(stage):
  with pytest.raises(types.InputError, match='patience: 0 is not between 1'):
    config_values.from_dict(nested(f'{stage}.patience', 0))


def test_readers_divide_the_lanes():
  with pytest.raises(types.InputError, match='3 does not divide the 32 lanes'):
    config_values.from_dict(nested('batch.readers', 3))


@pytest.mark.parametrize('name', FLOATS)
@pytest.mark.parametrize('value', [float('nan'), float('inf'), -float('inf')])
def test_numbers_are_finite(name, value):
  with pytest.raises(types.InputError, match=f'config.{name}: '):
    config_values.from_dict(nested(name, value))


@pytest.mark.parametrize('name', FLOATS)
def test_whole_numbers_do_for_floats(name):
  base = config_values.with_settings(config_lib.Config(), companions.of(name))
  config = config_values.from_dict(nested(name, 0), base)
  found = config_values.flatten(config)[name]
  assert type(found) is float and found == 0.0


def test_a_number_too_large_for_a_float():
  with pytest.raises(types.InputError, match=r'critic\.discount: 1000.* too'):
    config_values.from_dict(nested('critic.discount', 10**400))


@pytest.mark.parametrize('name', UNITS)
@pytest.mark.parametrize(
  'value', [(), [0], [-1, 4], [1.5], ['8'], [True], [[8]], [2**20 + 1], [None]]
)
def test_layer_sizes(name, value):
  assert config_values.from_dict(nested(name, [8])) == config_values.from_dict(
    nested(name, (8,))
  )
  with pytest.raises(
    types.InputError, match=f'config.{name}: .* list of layer'
  ):
    config_values.from_dict(nested(name, value))


@pytest.mark.parametrize(
  ('name', 'good', 'bad'),
  [
    ('methods', ['ple', 'ple+critic'], [[], [1], ['ple', 'ple'], [None]]),
    ('seeds', [3, 0], [[], ['1'], [1, 1], [-1], [1.5], [True], [2**31]]),
    ('learning_rates', [1, 1e-3], [[], ['1'], [1e-3, 1e-3], [-1.0], [1e4]]),
  ],
)
def test_lists_of_a_comparison(name, good, bad):
  found = config_values.from_dict(nested(f'compare.{name}', good))
  assert list(getattr(found.compare, name)) == good
  for value in bad:
    with pytest.raises(types.InputError, match=f'config.compare.{name}: '):
      config_values.from_dict(nested(f'compare.{name}', value))


@pytest.mark.parametrize('name', sorted(FLAT))
def test_other_types_are_refused(name):
  for value in (None, {}, object(), 'text', True, 1.5, 3, [8]):
    old = FLAT[name]
    fits = type(value) is type(old) or (
      isinstance(old, float) and type(value) is int
    )
    if fits or (isinstance(old, tuple) and isinstance(value, list)):
      continue
    with pytest.raises(types.InputError, match='is not of type') as error:
      config_values.from_dict(nested(name, value))
    assert str(error.value).startswith(f'config.{name}: ')


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
    ('critic.target_dropout=True', True),
  ],
)
def test_a_setting_is_read_from_text(text, value):
  name = text.partition('=')[0]
  assert config_values.parse_setting('--x', text, FLAT) == (name, value)
  shown = f'{name}={config_values.setting_text(value)}'
  assert config_values.parse_setting('--x', shown, FLAT) == (name, value)


@pytest.mark.parametrize('value', ['', 'a', '32x16', '32,', '1.5-2'])
def test_what_is_no_list_of_sizes(value):
  text = f'network.bottom_units={value}'
  with pytest.raises(types.InputError) as error:
    config_values.parse_setting('--x', text, FLAT)
  line = f'--x: {text}: expected values such as 512-256'
  assert str(error.value) == line


def test_errors_say_where_the_record_is_from():
  with pytest.raises(types.InputError) as error:
    config_values.from_dict(
      nested('critic.x', 1), path='RUN/config.json: config'
    )
  line = 'RUN/config.json: config.critic.x: no such setting'
  assert str(error.value).startswith(line)


def test_near_matches_are_of_the_nearest_group():
  line = config_values.unknown_setting('--config.finetune.learning_rat', FLAT)
  assert 'did you mean finetune.learning_rate or ' in line
  line = config_values.unknown_setting('--config.weighting.lambda', FLAT)
  assert '(did you mean weighting.lambda_' in line
  line = config_values.unknown_setting('--config.qqqq', FLAT)
  assert line == '--config.qqqq: no such setting'


def test_ple_needs_two_experts():
  record = {'backbone': 'ple', 'network': {'num_experts': 1}}
  with pytest.raises(types.InputError, match='ple needs at least 2'):
    config_values.from_dict(record)
  assert config_values.from_dict({**record, 'backbone': 'mmoe'})


@pytest.mark.parametrize('stage', ['pretrain', 'finetune'])
def test_embedding_l2_is_l2_or_a_number(stage):
  for value in (-1, 0, 1e-5):
    config_values.from_dict(nested(f'{stage}.embedding_l2', value))
  with pytest.raises(types.InputError, match=r'embedding_l2: -0\.5 is neither'):
    config_values.from_dict(nested(f'{stage}.embedding_l2', -0.5))


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
    ({'name': 'advantage'}, None),
    # Controls of these.
    ({'name': 'constant'}, None),
    ({'name': 'constant_mean'}, None),
    ({'name': 'q_shuffled'}, None),
    ({'name': 'q_shuffled', 'form': 'advantage'}, None),
    ({'name': 'q_shuffled', 'form': 'negative_q'}, 'negative_q'),
    ({'name': 'label_times_q'}, 'label_times_q'),
    ({'name': 'negative_q', 'form': 'critic'}, 'negative_q'),
    ({'name': 'ddpg'}, 'ddpg'),
  ],
)
def test_a_negative_lambda_is_for_those_that_know_it(weighting, expected):
  record = {
    'weighting': {'lambda_': -0.5, **weighting},
    'critic': {'members': 2},
  }
  if expected is None:
    assert config_values.from_dict(record).weighting.lambda_ == -0.5
    return
  with pytest.raises(
    types.InputError,
    match=rf'weighting\.lambda_: -0\.5 is negative, which {expected} does not'
    ' know; critic, advantage do',
  ):
    config_values.from_dict(record)


def test_stage_1_starts_where_it_starts():
  config = config_values.from_dict({'finetune': {'start': 'scratch'}})
  assert config.finetune.start == 'scratch'
  with pytest.raises(
    types.InputError,
    match=r'^config\.pretrain\.start: no such setting',
  ):
    config_values.from_dict({'pretrain': {'start': 'scratch'}})


def test_each_stage_has_its_own_group():
  config = config_lib.Config(pretrain=config_lib.StageConfig())  # pyright: ignore
  with pytest.raises(
    types.InputError,
    match=r'^config\.pretrain: expected a PretrainConfig, not a StageConfig',
  ):
    config_values.validate(config)


@pytest.mark.parametrize(
  ('name', 'value'),
  [('seed', 'x'), ('seed', True), ('seed', 1.5), ('control', 1)],
)
def test_types_are_checked_in_configs_from_python(name, value):
  with pytest.raises(types.InputError, match=f'config.{name}: .* not of type'):
    config_values.validate(
      dataclasses.replace(config_lib.Config(), **{name: value})
    )


def test_numbers_too_large_for_a_float_are_refused():
  for record, name in (
    ({'compare': {'learning_rates': [10**400]}}, 'compare.learning_rates'),
    ({'critic': {'discount': 10**400}}, 'critic.discount'),
  ):
    with pytest.raises(types.InputError, match=f'config.{name}: .*too large'):
      config_values.from_dict(record)


def test_errors_of_a_file_name_the_file():
  with pytest.raises(types.InputError, match=r'^a\.json: config\.seed: -1 is'):
    config_values.from_dict({'seed': -1}, path='a.json: config')

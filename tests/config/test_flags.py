import dataclasses
import json

import pytest
from absl import flags

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from tests import paper
from tests.config import companions

START = config_lib.Config()
FLAT = config_values.flatten(START)
NAMES = [name for name in FLAT if name != 'compare.methods']


def parse(*arguments):
  """The config of a command line."""
  values = flags.FlagValues()
  line = ['rmtl train', *arguments]
  config_flags.define(values, line)
  assert values(line)[1:] == []
  return config_flags.parse(values)


def changed(*arguments):
  """{setting: value} of what differs from the default."""
  found = config_values.flatten(parse(*arguments))
  return {name: v for name, v in found.items() if v != FLAT[name]}


def fails(*arguments):
  """The one line that a command line is refused with."""
  with pytest.raises((types.InputError, flags.Error)) as error:
    parse(*arguments)
  assert '\n' not in str(error.value)
  return str(error.value)


def write(tmp_path, body, name='mine.py'):
  path = tmp_path / name
  path.write_text(f'from rmtl_jax import config as c\n{body}\n')
  return path


def config_file(tmp_path, expression):
  return write(tmp_path, f'def get_config():\n  return {expression}')


def test_no_flags_are_the_recommended_settings():
  assert parse() == START
  assert parse('--preset=paper') == paper.config()


def test_every_setting_has_a_flag():
  for name in NAMES:
    _check_flag(name)


def _check_flag(name):
  old = FLAT[name]
  if isinstance(old, bool):
    text, value = str(not old).lower(), not old
  elif isinstance(old, int):
    text, value = str(old + 1), old + 1
  elif isinstance(old, float):
    text, value = '0.625', 0.625
  elif isinstance(old, tuple):
    text, value = '16,8', (16, 8)
  else:
    texts = {
      'evaluation.monitor': 'logloss',
      'network.crosses': 'user*item',
    }
    free = '', texts.get(name, 'user=0.3')
    first, *_, value = config_values.choices(name) or free
    value = value if value != old else first
    text = value
  needed = companions.of(name)
  flags = [f'--config.{k}={v}' for k, v in needed.items()]
  flags.append(f'--config.{name}={text}')
  assert changed(*flags) == {**needed, name: value}
  assert type(config_values.flatten(parse(*flags))[name]) is type(old)


@pytest.mark.parametrize(
  'argument, expected',
  [
    ('--config.seed=-1', 'config.seed: -1 is not between 0 and'),
    ('--config.seed=7.5', 'flag --config.seed=7.5: '),
    ('--config.seed', 'Missing value for flag --config.seed'),
    ('--config.network.tower_units=1 2', 'flag --config.network.tower_units'),
    ('--config.control=maybe', 'flag --config.control=maybe: '),
    ('--config.critic.discount=nan', 'config.critic.discount: nan is not bet'),
    ('--config.backbone=pel', "config.backbone: 'pel' is not one of"),
    (
      '--config.backbon=ple',
      '--config.backbon: no such setting (did you mean backbone?)',
    ),
    (
      '--config.finetune.patience=3',
      '--config.finetune.patience: no such setting (did you mean pretrain.pa',
    ),
    ('--config.critic=3', '--config.critic: no such setting'),
    ('--config.=3', '--config.: no such setting'),
    ('--preset=mine', "preset: 'mine' is not one of recommended, paper"),
    ('--nothing=3', "Unknown command line flag 'nothing'"),
  ],
)
def test_bad_flags_are_refused_in_one_line(argument, expected):
  assert fails(argument).startswith(expected)


@pytest.mark.parametrize(
  'arguments', [('--preset=official',), ('--preset', 'official')]
)
def test_preset(arguments):
  official = config_lib.preset('official')
  assert parse(*arguments) == official
  critic = dataclasses.replace(official.critic, discount=0.8)
  assert parse(*arguments, '--config.critic.discount=0.8') == (
    dataclasses.replace(official, critic=critic)
  )


def test_config_file(tmp_path):
  path = config_file(tmp_path, "c.Config(backbone='mmoe', seed=5)")
  assert changed(f'--config={path}') == {'backbone': 'mmoe', 'seed': 5}
  assert changed('--config', str(path)) == {'backbone': 'mmoe', 'seed': 5}
  assert changed(
    f'--config={path}', '--config.seed=6', '--config.network.tower_units=4'
  ) == {'backbone': 'mmoe', 'seed': 6, 'network.tower_units': (4,)}


@pytest.mark.parametrize(
  'expression, expected',
  [
    ('3', 'get_config() returned int, expected a rmtl_jax.config.Config'),
    ('1 / 0', 'ZeroDivisionError: division by zero'),
    ("c.Config(seed='x')", "config.seed: 'x' is not of type int"),
  ],
)
def test_config_files_that_give_no_config(tmp_path, expression, expected):
  path = config_file(tmp_path, expression)
  line = fails(f'--config={path}')
  assert expected in line and line.startswith(f'--config: {path}: ')


def test_json_config(tmp_path):
  config = config_values.from_dict({'critic': {'discount': 0.5}})
  path = tmp_path / 'config.json'
  path.write_text(json.dumps({'config': config_values.to_dict(config)}))
  assert parse(f'--config={path}') == config
  changed_again = parse(f'--config={path}', '--config.critic.discount=0.25')
  assert changed_again.critic.discount == 0.25


def of_line(*arguments):
  values = flags.FlagValues()
  line = ['rmtl train', *arguments]
  config_flags.define(values, line)
  values(line)
  return values


def test_an_existing_run_keeps_its_settings_unless_a_preset_is_named():
  own = config_lib.preset('official')
  found = config_flags.parse(of_line('--config.seed=3'), own)
  assert found == dataclasses.replace(own, seed=3)
  assert config_flags.parse(of_line('--preset=paper'), own) == paper.PAPER

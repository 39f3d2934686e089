"""Help: every flag once, no line too long, hints for what is unknown."""

import re

import pytest
from absl import flags

from rmtl_jax import cli
from rmtl_jax.commands import help as help_lib


def page(name, full=False):
  command, values = cli.COMMANDS[name], flags.FlagValues()
  command.define(values, [name])
  text = help_lib.page(
    name, command.summary, values, command.listed_settings(), full
  )
  return text, values


def names(text):
  return re.findall(r'^  --([\w.]+)', text, re.MULTILINE)


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('name', cli.COMMANDS)
def test_every_flag_is_shown_once_in_short_lines(name, full):
  text, values = page(name, full)
  assert not [line for line in text.splitlines() if len(line) > 80]
  expected = {flag for flag in values if not flag.startswith('config.')}
  settings = {entry.name for entry in cli.COMMANDS[name].listed_settings()}
  if settings and not full:
    assert '--helpfull' in text
    first = {f'config.{name}' for name in help_lib.FIRST}
    assert first <= settings
    settings = first
  assert sorted(names(text)) == sorted(expected | settings)


def test_defaults_are_those_that_will_run():
  text, _ = page('train')
  assert '--config.backbone=ple\n' in text
  assert '--config.batch.lanes=by the data\n' in text


@pytest.mark.parametrize(
  ('flag', 'meant'),
  [
    ('data-dir', '--data_dir'),
    ('workdri', '--workdir'),
    ('backbone', '--config.backbone'),
    ('learning_rate', '--config.pretrain.learning_rate'),
  ],
)
def test_an_unknown_flag_names_what_may_be_meant(flag, meant):
  line = help_lib.unknown_flag(
    flag, 'train', ['data_dir', 'workdir'], help_lib.settings(), {}
  )
  assert line.startswith(f'--{flag}: rmtl train has no such flag')
  assert meant in line


def test_a_flag_of_another_command_names_it():
  elsewhere = {'evaluate': ['split'], 'predict': ['output']}
  line = help_lib.unknown_flag('output', 'train', ['workdir'], [], elsewhere)
  assert line == '--output: rmtl train has no such flag; rmtl predict has'

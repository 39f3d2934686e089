"""Help: every flag that it puts first exists, no line is too long."""

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


def test_every_command_has_its_first_flags():
  assert list(help_lib.FIRST) == list(cli.COMMANDS)


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_help_shows_the_first_flags_in_groups(name):
  text, _ = page(name)
  first = [flag for group in help_lib.FIRST[name].values() for flag in group]
  assert names(text) == first  # a flag that does not exist is a KeyError
  assert len(set(first)) == len(first) <= 18
  for title in help_lib.FIRST[name]:
    assert f'\n{title}:\n' in text


@pytest.mark.parametrize('name', cli.COMMANDS)
def test_helpfull_shows_every_flag_once(name):
  text, values = page(name, full=True)
  expected = {flag for flag in values if not flag.startswith('config.')}
  expected |= {entry.name for entry in cli.COMMANDS[name].listed_settings()}
  assert sorted(names(text)) == sorted(expected)
  missing = len(expected) - len(names(page(name)[0]))
  line = f'All flags, {missing} more: rmtl {name} --helpfull\n'
  assert page(name)[0].endswith(line) == (missing > 0)


@pytest.mark.parametrize('full', [False, True])
@pytest.mark.parametrize('name', cli.COMMANDS)
def test_no_line_is_longer_than_a_terminal(name, full):
  text, _ = page(name, full)
  assert not [line for line in text.splitlines() if len(line) > 80]


def test_names_are_whole_and_choices_listed():
  text, _ = page('train', full=True)
  words = ' '.join(text.split())
  for name in ('shared_bottom', 'constant_mean', 'target_attention'):
    assert name in words
  assert 'One of all, pretrain, critic, finetune.' in words
  assert 'recommended: sizes, batches and ids by the data (the default)' in text
  assert 'without --preset those of the preset recommended hold' in words
  assert '<' not in text.split('Settings', 1)[0]


def test_a_flag_that_may_be_repeated_is_described_in_the_command_s_words():
  text, _ = page('prune')
  assert '  --workdir\n' in text and 'RUN RUN does the same.\n' in text
  assert 'repeat this option' not in text


def test_only_a_comparison_has_settings_of_comparisons():
  assert 'config.compare.seeds' not in names(page('train', full=True)[0])
  assert 'config.compare.learning_rates' in names(page('compare')[0])


@pytest.mark.parametrize(
  ('flag', 'meant'),
  [
    ('backbone', ['config.backbone']),
    ('ensemble', ['config.ensemble']),
    ('seed', ['seeds', 'config.seed']),
    ('work_dir', ['workdir']),
    ('data-dir', ['data_dir']),
    ('pretrain.l2', ['config.pretrain.l2']),
    ('lr', ['config.pretrain.learning_rate', 'config.finetune.learning_rate']),
    (
      'epochs',
      ['config.pretrain.max_epochs', 'config.finetune.max_epochs'],
    ),
    ('batch-size', ['config.batch.lanes', 'config.batch.lane_length']),
    ('batch_lanes', ['config.batch.lanes']),
    ('id_dropuot', ['config.network.id_dropout']),
  ],
)
def test_an_unknown_flag_names_what_may_be_meant(flag, meant):
  line = help_lib.unknown_flag(
    flag,
    'compare',
    ['workdir', 'data_dir', 'seeds', 'config'],
    help_lib.settings(),
    {},
  )
  *others, last = [f'--{name}' for name in meant]
  expected = f'{", ".join(others)} or {last}' if others else last
  assert line == (
    f'--{flag}: rmtl compare has no such flag (did you mean {expected}?)'
  )


def test_a_flag_of_another_command_names_it():
  elsewhere = {'predict': ['output'], 'export': ['output'], 'tune': []}
  line = help_lib.unknown_flag('output', 'train', ['workdir'], [], elsewhere)
  assert line == (
    '--output: rmtl train has no such flag; rmtl predict or rmtl export has'
  )

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
  if not full:
    expected -= set(help_lib.RARE)
  if settings and not full:
    assert '--helpfull' in text
    first = {f'config.{name}' for name in help_lib.FIRST}
    assert first <= settings
    settings = first
  assert sorted(names(text)) == sorted(expected | settings)

"""The pages of `--help` and `--helpfull`, and hints for unknown flags."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from absl import flags

from rmtl_jax import terminal
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values

# Settings that people set: what `--help` shows of them.
FIRST = (
  *('backbone', 'seed', 'ensemble', 'network.ignore', 'weighting.name'),
  *('pretrain.learning_rate', 'pretrain.max_epochs', 'evaluation.monitor'),
)
# Flags that `--helpfull` alone shows.
RARE = (
  *(
    'compilation_cache',
    'tracker',
  ),
  *('mesh', 'distributed', 'coordinator_address'),
  *('num_processes', 'process_id'),
)


class Entry(NamedTuple):
  """A flag as help shows it.

  Attributes:
    name: without dashes.
    default: as text; '' for none.
    text: its description.
  """

  name: str
  default: str
  text: str


def page(
  name: str,
  summary: str,
  values: flags.FlagValues,
  settings: Iterable[Entry],
  full: bool,
) -> str:
  """The help of a command, lines of at most 80 columns."""
  lines = [*terminal.lines(f'rmtl {name}: {summary}'), '', 'Flags:']
  every, all_settings = list(_of_flags(values)), list(settings)
  first = {f'config.{setting}' for setting in FIRST}
  shown = [one for one in every if full or one.name not in RARE]
  shown_settings = [one for one in all_settings if full or one.name in first]
  for entry in shown:
    lines += _listed(entry)
  if shown_settings:
    lines += ['', 'Settings, with the defaults that will run:']
  for entry in shown_settings:
    lines += _listed(entry)
  rest = len(every + all_settings) - len(shown + shown_settings)
  if rest:
    lines += ['', f'{rest} more flags: rmtl {name} --helpfull']
  return '\n'.join(lines) + '\n'


def settings(compares: bool = False) -> list[Entry]:
  """Every setting of a run as a flag, with its default."""
  return [
    Entry(
      f'config.{name}',
      config_flags.shown(default),
      config_flags.described(text, config_values.kind(name)),
    )
    for name, default, text in config_flags.describe()
    if compares or not name.startswith('compare.')
  ]


def _of_flags(values: flags.FlagValues) -> Iterator[Entry]:
  for name in values:
    flag = values[name]
    if name.startswith('config.'):
      continue
    text = flag.help or ''
    if isinstance(flag, flags.MultiFlag):
      # absl's own words on repeating are below the command's.
      text = text.partition(';\n')[0]
    has_default = flag.default is not None and flag.default != []
    default = flag.default_as_str if has_default and name != 'config' else ''
    yield Entry(name, (default or '').strip("'"), text)


def _listed(entry: Entry) -> list[str]:
  default = f'={entry.default}' if entry.default else ''
  lines = [f'  --{entry.name}{default}']
  text = entry.text.replace('`', '')
  for paragraph in (text[:1].upper() + text[1:]).split('\n'):
    lines += terminal.lines(' '.join(paragraph.split()), '      ', '      ')
  return lines


def unknown_flag(
  flag: str,
  command: str,
  known: Iterable[str],
  settings_: Iterable[Entry],
  elsewhere: Mapping[str, Iterable[str]],
) -> str:
  """The line for a flag that a command does not have, with what it may mean.

  Args:
    flag: as it was given, without dashes and value.
    elsewhere: {another command: its flags}.
  """
  wanted = flag.replace('-', '_')
  names = [entry.name for entry in settings_]
  meant = _meant(wanted, [k for k in known if '.' not in k], names)
  line = f'--{flag}: rmtl {command} has no such flag'
  if meant:
    return f'{line} (did you mean {_or([f"--{name}" for name in meant])}?)'
  others = [name for name, has in elsewhere.items() if wanted in has]
  if others:
    return f'{line}; {_or([f"rmtl {name}" for name in others])} has'
  return f'{line} (see rmtl {command} --helpfull)'


def _meant(
  wanted: str, known: Sequence[str], names: Sequence[str]
) -> list[str]:
  """Flags and settings similar to a name, best match first."""
  if wanted in known:  # with dashes for underscores
    return [wanted]
  ends = [name for name in names if name.endswith(f'.{wanted}')]
  # A group's own setting comes before that of a group inside of it.
  depth = min((name.count('.') for name in ends), default=0)
  ends = [name for name in ends if name.count('.') == depth]
  aliases = [f'config.{name}' for name in config_values.ALIASES.get(wanted, ())]
  if ends or (aliases and set(aliases) <= set(names)):
    return (ends or aliases)[:4]
  by_end: dict[str, list[str]] = {}
  for name in [*known, *names]:
    by_end.setdefault(name.rsplit('.', 1)[-1], []).append(name)
  close = difflib.get_close_matches(wanted, by_end, n=3, cutoff=0.75)
  return [name for end in close for name in by_end[end]][:4]


def _or(names: Sequence[str]) -> str:
  *others, last = names
  return f'{", ".join(others)} or {last}' if others else last

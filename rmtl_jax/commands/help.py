"""What `--help` and `--helpfull` show, and hints for flags that are unknown.

`FIRST` is the one place that says which flags people set: these are what
`--help` shows, in groups. `--helpfull` shows all others too.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from absl import flags

from rmtl_jax import terminal
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import presets
from rmtl_jax.config import values as config_values

_DEFAULTS = (
  "Settings are shown as the paper's; without --preset those of the preset"
  f' {presets.DEFAULT_PRESET} hold, chosen by the data, where no flag says'
  ' otherwise.'
)


def _own(*names: str) -> dict[str, str]:
  """Flags that are shown with their own text."""
  return dict.fromkeys(names, '')


# Flags of several commands, as below.
_CONFIG = 'FILE.json or FILE.py; --config.GROUP.FIELD=VALUE overrides.'
_DATA = _own('data_dir', 'simulated_rows')
_MODEL = _own('workdir', 'stage', 'calibrated')
_RAW_LOG = {
  'source': 'Who reads the log: table is a log of your own.',
  'raw_dir': "The raw files' directory, or one file (table).",
  'schema': 'JSON file that describes the columns (table).',
}
# {command: {group: {flag without dashes: what it does}}}; '': its own text.
FIRST: Mapping[str, Mapping[str, Mapping[str, str]]] = {
  'init': {
    'Log': _own('raw_dir', 'delimiter', 'label', 'rows'),
    'Schema': _own('output', 'overwrite'),
  },
  'prepare': {
    'Raw log': {
      **_RAW_LOG,
      'simulated_rows': 'Rows to draw (simulated).',
    },
    'Prepared data': {
      'data_dir': 'Where prepared data go.',
      **_own('overwrite', 'check'),
    },
    'Features': _own('as_of', 'min_count'),
    'Rows': _own('split', 'split_by', 'idle_minutes'),
    'New days': _own('extend', 'since', 'until'),
  },
  'describe': {'Data': _own('data_dir', 'output')},
  'train': {
    'Data': _DATA,
    'Run': {
      'workdir': "RUN, the run's directory; the same command goes on there.",
      **_own('start_from', 'stage'),
      'config.seed': 'Of parameters, shuffles, dropout and noise.',
      'config.ensemble': (
        'Members that differ in their seed and predict as one, by their mean.'
      ),
    },
    'Model': {
      'preset': '',
      'config.backbone': 'The network of the actor.',
      'config.network.ignore': (
        'Fields that no network sees, joined by +: names of fields or of groups'
        ' of as-of features; asof is all of these groups.'
      ),
    },
    'Training': {
      'config.pretrain.learning_rate': 'Of stage 1.',
      'config.pretrain.max_epochs': 'Most passes over the train rows, stage 1.',
      'config.batch.lanes': (
        'Lanes of a batch, each of config.batch.lane_length=64 rows.'
      ),
    },
    'Method': {
      'config.weighting.name': 'What weighs the losses of stage 3.',
      'config.weighting.lambda_': 'How much the critics weigh.',
      'config.finetune.learning_rate': 'Of stage 3.',
    },
    'More': {
      'config': (
        "Settings from a file: FILE.json, as a run's config.json or the"
        ' best.json of rmtl tune, or FILE.py, which is run.'
        ' --config.GROUP.FIELD=VALUE overrides one.'
      ),
      'mesh': 'Devices on two axes, as data:4,model:2.',
    },
  },
  'refit': {
    'Run': {'run': '', 'workdir': "Where the refit goes, a new run's."},
    'Data': _own('data_dir'),
  },
  'evaluate': {'Run': _own('workdir'), 'Data': _own('split', 'data_dir')},
  'report': {'Run': _own('workdir', 'output', 'data_dir')},
  'importance': {
    'Run': _MODEL,
    'Measure': _own('groups', 'repeats', 'rows', 'split'),
  },
  'predict': {'Rows': _own('input', 'output', 'history'), 'Model': _MODEL},
  'monitor': {
    'Model': _MODEL,
    'Log': _own('log', 'output'),
    'Thresholds of an alarm': _own(
      'psi', 'unseen', 'missing', 'calibration', 'auc', 'error'
    ),
  },
  'serve': {
    'Model': _MODEL,
    'Address': _own('host', 'port', 'token_file'),
    'State': _own('state', 'history'),
    'Requests': _own('max_rows', 'wait_ms', 'workers'),
  },
  'export': {'Model': _MODEL, 'Output': _own('output', 'format')},
  'compare': {
    'Data': _DATA,
    'Comparison': _own('workdir', 'methods', 'seeds'),
    'Settings of every method': {'preset': '', 'config': _CONFIG},
    'Stage 3': {
      'config.compare.learning_rates': (
        'Tried for every method and control; validation decides.'
      ),
      'config.finetune.max_epochs': 'Most passes over the train rows.',
    },
  },
  'backtest': {
    'Raw log': _RAW_LOG,
    'Days': _own('workdir', 'days', 'step'),
    'Runs': {
      **_own('seeds', 'continued', 'stage', 'preset'),
      'config': _CONFIG,
    },
  },
  'tune': {
    'Data': _DATA,
    'Search': _own('workdir', 'stage', 'trials', 'minutes', 'seeds', 'search'),
    'Confirmation': _own('confirm'),
    'Settings of every trial': {
      'preset': '',
      'config': _CONFIG,
      'config.backbone': 'The network of the actor.',
    },
  },
  'prune': {'Runs': _own('workdir')},
}


class Entry(NamedTuple):
  """A flag as help shows it.

  Attributes:
    name: without dashes.
    default: as text; '' for none.
    text: what it does.
    choices: the values that it may have, if there are only some.
  """

  name: str
  default: str
  text: str
  choices: Sequence[str] = ()


def page(
  name: str,
  summary: str,
  values: flags.FlagValues,
  settings: Iterable[Entry],
  full: bool,
) -> str:
  """The help of a command, lines of at most 80 columns."""
  own = {entry.name: entry for entry in _of_flags(values)}
  of_settings = {entry.name: entry for entry in settings}
  known = own | of_settings
  groups = FIRST.get(name, {})
  first = {flag for group in groups.values() for flag in group}
  lines = [*_wrapped(f'rmtl {name}: {summary}', '')]
  if 'preset' in known:
    lines += _wrapped(_DEFAULTS, '')
  for title, shown in groups.items():
    lines += _group(
      title,
      [
        known[flag]._replace(text=text or known[flag].text)
        for flag, text in shown.items()
      ],
    )
  unseen = len(known.keys() - first)
  if full:
    others = [entry for flag, entry in own.items() if flag not in first]
    lines += _group('Other flags', others)
    rest = [entry for flag, entry in of_settings.items() if flag not in first]
    for title, shown in _by_group(rest).items():
      lines += _group(title, shown)
  elif unseen:
    lines += ['', f'All flags, {unseen} more: rmtl {name} --helpfull']
  return '\n'.join(lines) + '\n'


def settings(compares: bool = False) -> list[Entry]:
  """Every setting of a run as a flag."""
  return [
    Entry(
      f'config.{name}',
      config_flags.shown(default),
      text
      if config_values.choices(name)
      else config_flags.described(text, config_values.kind(name)),
      config_values.choices(name),
    )
    for name, default, text in config_flags.describe()
    if compares or not name.startswith('compare.')
  ]


def _of_flags(values: flags.FlagValues) -> Iterator[Entry]:
  for name in sorted(values):
    flag = values[name]
    if name.startswith('config.'):
      continue
    text = flag.help or ''
    choices = getattr(flag.parser, 'enum_values', ())
    # Of choices absl writes `<a|b>: `, which can't be wrapped.
    text = text.removeprefix(f'<{"|".join(choices)}>: ')
    default = '' if name == 'config' else flag.default_as_str or ''
    if isinstance(flag, flags.MultiFlag):
      # absl's own words on repeating are below the command's.
      text = text.partition(';\n')[0]
      default = default if flag.default else ''
    yield Entry(name, default.strip("'"), text, choices)


def _by_group(entries: Iterable[Entry]) -> dict[str, list[Entry]]:
  """Settings under a title for each of their groups."""
  found: dict[str, list[Entry]] = {}
  for entry in entries:
    group = entry.name.removeprefix('config.').rpartition('.')[0]
    title = f'Settings: {group}' if group else 'Settings'
    found.setdefault(title, []).append(entry)
  return found


def _group(title: str, entries: Sequence[Entry]) -> list[str]:
  if not entries:
    return []
  lines = ['', f'{title}:']
  for entry in entries:
    default = f'={entry.default}' if entry.default else ''
    lines.append(f'  --{entry.name}{default}')
    text = entry.text.replace('`', '')
    text = text[:1].upper() + text[1:]
    if not all(re.search(rf'\b{one}\b', text) for one in entry.choices):
      text += f' One of {", ".join(entry.choices)}.'
    for paragraph in text.split('\n'):
      lines += _wrapped(paragraph, '      ')
  return lines


def _wrapped(text: str, indent: str) -> list[str]:
  """Lines of whole words: names are not broken at hyphens or elsewhere."""
  return terminal.lines(' '.join(text.split()), indent, indent)


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
  """Flags and settings that a name may stand for, best first."""
  if wanted in known:  # with dashes for underscores
    return [wanted]
  ends = [name for name in names if name.endswith(f'.{wanted}')]
  # A group's own setting comes before that of a group inside of it.
  depth = min((name.count('.') for name in ends), default=0)
  ends = [name for name in ends if name.count('.') == depth]
  if ends:  # `seed` may be `seeds` too
    return difflib.get_close_matches(wanted, known, n=1, cutoff=0.85) + ends
  aliases = [f'config.{name}' for name in config_values.ALIASES.get(wanted, ())]
  if aliases and set(aliases) <= set(names):
    return aliases
  # Near matches, of the last name alone: `batch_lanes` is `batch.lanes` too.
  by_end: dict[str, list[str]] = {}
  for name in [*known, *names]:
    joined = name.removeprefix('config.').replace('.', '_')
    for end in {name, name.rsplit('.', 1)[-1], joined}:
      by_end.setdefault(end, []).append(name)
  close = difflib.get_close_matches(wanted, by_end, n=3, cutoff=0.75)
  return list(dict.fromkeys(name for end in close for name in by_end[end]))[:4]


def _or(names: Sequence[str]) -> str:
  *others, last = names
  return f'{", ".join(others)} or {last}' if others else last

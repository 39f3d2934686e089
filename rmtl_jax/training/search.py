"""The space that `rmtl tune` searches: `setting=low:high[:log]` or `a|b|c`."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import methods

# What is searched where nothing is named, by the last stage that is trained.
DEFAULTS = {
  'pretrain': (
    'network.dropout=0.0:0.5',
    'network.id_dropout=0|0.1|0.2|0.3|0.5',
    'pretrain.learning_rate=1e-4:1e-2:log',
    'pretrain.l2=1e-8:1e-4:log',
  ),
  'finetune': (
    'critic.discount=0.0|0.5|0.9|0.95|0.99',
    'finetune.learning_rate=1e-5:3e-3:log',
    'weighting.lambda_=0.1:2.0',
  ),
}
# Digits of a number that is drawn: more would only look precise.
_DIGITS = 3


class Dimension(NamedTuple):
  """One setting of the space.

  Attributes:
    name: 'group.field'.
    choices: values to choose from, or () for a range.
    low: of a range, inclusive.
    high: of a range, inclusive.
    log: the range is searched in the logarithm.
  """

  name: str
  choices: tuple[Any, ...] = ()
  low: float = 0.0
  high: float = 0.0
  log: bool = False


def parse(text: str, base: config_lib.Config) -> Dimension:
  """Reads one dimension.

  Args:
    text: `setting=low:high`, `setting=low:high:log` or `setting=a|b|c`.
    base: the settings that are searched around.

  Raises:
    types.InputError: names the dimension and the part that is wrong.
  """
  name, _, values = text.strip().partition('=')
  label = f'search {text!r:.80}'
  if '|' in values:
    choices = tuple(
      methods.setting(label, f'{name}={value}', base)[1]
      for value in values.split('|')
    )
    return Dimension(name, choices=choices)
  low, *rest = values.split(':')
  if len(rest) not in (1, 2) or rest[1:] not in ([], ['log']):
    raise types.InputError(
      f'{label}: expected SETTING=LOW:HIGH[:log] or SETTING=A|B|...'
    )
  ends = [
    methods.setting(label, f'{name}={value}', base)[1]
    for value in (low, rest[0])
  ]
  if any(
    type(end) not in (int, float) or not math.isfinite(end) for end in ends
  ):
    raise types.InputError(
      f'{label}: {name} is no number: name A|B|... instead'
    )
  if not ends[0] < ends[1] or (rest[1:] and ends[0] <= 0):
    raise types.InputError(
      f'{label}: expected LOW < HIGH'
      + (', and LOW > 0 for a logarithm' if rest[1:] else '')
    )
  return Dimension(name, (), ends[0], ends[1], bool(rest[1:]))


def suggest(
  trial: Any, space: Sequence[Dimension], base: config_lib.Config
) -> dict[str, Any]:
  """One point.

  Args:
    trial: an optuna.Trial.
    space: its dimensions.
    base: the settings that are searched around.

  Returns:
    {'group.field': value}; numbers have three digits.
  """
  flat = config_lib.flatten(base)
  values: dict[str, Any] = {}
  for d in space:
    if d.choices:
      values[d.name] = trial.suggest_categorical(d.name, d.choices)
    elif isinstance(flat[d.name], int):
      values[d.name] = trial.suggest_int(
        d.name, int(d.low), int(d.high), log=d.log
      )
    else:
      drawn = trial.suggest_float(d.name, d.low, d.high, log=d.log)
      rounded = float(f'{drawn:.{_DIGITS}g}')
      values[d.name] = min(max(rounded, d.low), d.high)
  return values

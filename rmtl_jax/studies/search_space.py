"""The search space of `rmtl tune`: `setting=low:high[:log]` or `a|b|c`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import limits
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.studies import methods

# The default space.
_ALWAYS = (
  'network.dropout=0.0:0.5',
  'pretrain.learning_rate=1e-4:1e-2:log',
  'pretrain.l2=1e-8:1e-4:log',
)
# Where the data has categorical fields (embeddings).
_OF_CATEGORIES = (
  'network.embedding_scale=0.003:1.0:log',
  'network.id_dropout=0|0.1|0.2|0.3|0.5',
  'pretrain.embedding_l2=1e-7:1e-2:log',
)
# Significant digits of sampled numbers: more would only look precise.
_DIGITS = 3


class Dimension(NamedTuple):
  """One dimension of the search space.

  Attributes:
    name: 'group.field'.
    choices: the values, or () for a range.
    low: lower bound of a range, inclusive.
    high: upper bound, inclusive.
    log: whether the range is sampled in the logarithm.
  """

  name: str
  choices: tuple[Any, ...] = ()
  low: float = 0.0
  high: float = 0.0
  log: bool = False


def defaults(manifest: manifest_lib.Manifest) -> tuple[str, ...]:
  """The default space for some data, without what it can't use, for `parse`."""
  if all(field.kind == 'numeric' for field in manifest.fields):
    return _ALWAYS
  return _ALWAYS + _OF_CATEGORIES


def parse(text: str, base: config_lib.Config) -> Dimension:
  """Reads one dimension.

  Args:
    text: `setting=low:high`, `setting=low:high:log` or `setting=a|b|c`.

  Raises:
    types.InputError: names the dimension and the part that is wrong.
  """
  name, _, values = text.strip().partition('=')
  label = f'search {text!r:.80}'

  if not name.startswith(methods.STAGE_1):
    raise types.InputError(
      f'{label}: {name} makes no difference to stage 1, which a search trains;'
      f' compare such methods: rmtl compare --methods=ple+critic:{name}=...'
    )

  def read(value: str) -> Any:
    found = methods.setting(label, f'{name}={value}', base)[1]
    limits.check(f'{label}: {name}', found, config_values.kind(name))
    return found

  if '|' in values:
    choices = tuple(map(read, values.split('|')))
    if any(isinstance(choice, tuple) for choice in choices):
      raise types.InputError(
        f'{label}: {name} is a list, which no search varies; compare such'
        ' methods: rmtl compare --methods=ple:network.bottom_units=256-128,...'
      )
    return Dimension(name, choices=choices)
  low, *rest = values.split(':')
  if len(rest) not in (1, 2) or rest[1:] not in ([], ['log']):
    raise types.InputError(
      f'{label}: expected SETTING=LOW:HIGH[:log] or SETTING=A|B|...'
    )
  ends = [read(low), read(rest[0])]
  if any(type(end) not in (int, float) for end in ends):
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
  """Samples a point: {'group.field': value} of what differs from `base`."""
  flat = config_values.flatten(base)
  values: dict[str, Any] = {}
  for d in space:
    if d.choices:
      values[d.name] = trial.suggest_categorical(d.name, d.choices)
    elif isinstance(flat[d.name], int):
      values[d.name] = trial.suggest_int(
        d.name, int(d.low), int(d.high), log=d.log
      )
    else:
      sampled = trial.suggest_float(d.name, d.low, d.high, log=d.log)
      # Rounding may leave the range at its ends.
      rounded = float(f'{sampled:.{_DIGITS}g}')
      values[d.name] = min(max(rounded, d.low), d.high)
  return {k: v for k, v in values.items() if v != flat[k]}

"""An object of the schema's JSON, with checked access to its values."""

from __future__ import annotations

import contextlib
import math
import numbers
import sys
import unicodedata
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.config import values as config_values

_LONGEST_S = 10**9
# In bytes.
_LONGEST_NAME = 100


def plain(column: str) -> str:
  """A column's name without what can't be in a field's, which names a file.

  >>> plain('Größe (m²)'), plain('用户.id'), plain('?')
  ('Größe_m2', '用户.id', 'field')
  """
  text = unicodedata.normalize('NFKC', column)
  text = ''.join(c if _may_be_in_name(c) else ' ' for c in text)
  return _shortened('_'.join(text.split()).lstrip('.-')) or 'field'


def _shortened(name: str) -> str:
  """The beginning of a name, of whole characters, in so many bytes."""
  return name.encode()[:_LONGEST_NAME].decode(errors='ignore')


def _may_be_in_name(character: str) -> bool:
  """Whether it is a letter, its mark or a digit of any script, or _.-."""
  return character in '.-' or f'_{character}'.isidentifier()


class Part:
  """A JSON object and its path, for errors that name the key."""

  def __init__(self, record: Any, path: str, sign: str = ': '):
    if not isinstance(record, dict):
      raise types.InputError(f'{path}: expected a JSON object')
    self.record, self.path, self.sign = record, path, sign

  def fail(self, what: str) -> None:
    """Raises types.InputError, the path before it."""
    raise types.InputError(f'{self.path}{self.sign}{what}')

  def expect(self, right: bool, key: str, value: Any, what: str) -> None:
    """Refuses a value that is not right; `what` it should have been."""
    if not right:
      self.fail(f'{key}: found {value!r:.80}, expected {what}')

  def known(self, keys: tuple[str, ...]) -> None:
    """Refuses keys that are not among `keys`."""
    for key in self.record:
      if key not in keys:
        where = f'{self.path}{self.sign}{key}'
        raise types.InputError(config_values.unknown_setting(where, keys))

  def group(self, key: str) -> Part:
    """The object under a key, which has to be there."""
    if key not in self.record:
      self.fail(f'{key}: missing')
    return self.child(key, self.record[key])

  def child(self, key: str, record: Any) -> Part:
    """The object under a key."""
    return Part(record, f'{self.path}{self.sign}{key}', '.')

  def entries(self, key: str, plain: str = 'column') -> list[Part]:
    """The objects of a list; other values become the entry `plain`."""
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    return [
      Part(
        {plain: entry} if isinstance(entry, (str, list)) else entry,
        f'{self.path}{self.sign}{key}[{i}]',
        '.',
      )
      for i, entry in enumerate(found)
    ]

  def text(
    self, key: str, default: str | None = None, allowed: tuple[str, ...] = ()
  ) -> str:
    """A text that is not empty; `default` where it is not given."""
    value = self.record.get(key, default)
    if value is None:
      self.fail(f'{key}: missing')
    self.expect(isinstance(value, str) and value != '', key, value, 'text')
    if allowed and value not in allowed:
      self.fail(f'{key}: {value!r} is not one of {", ".join(allowed)}')
    return str(value)

  def texts(self, key: str, empty: bool = False) -> tuple[str, ...]:
    """A list of texts, () where it is not given; `empty` allows empty ones."""
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    for value in found:
      right = isinstance(value, str) and (value != '' or empty)
      self.expect(right, key, value, 'text')
    return tuple(found)

  def optional(self, key: str) -> str | None:
    """A text, or None."""
    return None if self.record.get(key) is None else self.text(key)

  def count(self, key: str, default: int) -> int:
    """A number of bins."""
    value = self.record.get(key, default)
    right = type(value) is int and 2 <= value <= 1000
    self.expect(right, key, value, 'a number from 2 to 1000')
    return value

  def whole(self, key: str, low: int, high: int) -> int:
    """A whole number that is given."""
    value = self.record[key]
    right = type(value) is int and low <= value <= high
    self.expect(right, key, value, f'a whole number from {low} to {high}')
    return value

  def positive(self, key: str) -> float:
    """A number above 0 that is given."""
    value = self.record[key]
    # An int may be more than a float.
    right = type(value) in (int, float) and 0 < value <= sys.float_info.max
    self.expect(right, key, value, 'a number above 0')
    return float(value)

  def finite(self, key: str) -> float:
    """A finite number that is given; numpy's too, as a column's mean is one."""
    value = self.record[key]
    found = math.nan
    if isinstance(value, numbers.Real) and not isinstance(value, bool):
      with contextlib.suppress(OverflowError):
        found = float(value)
    self.expect(math.isfinite(found), key, value, 'a finite number')
    return found

  def levels(self, key: str) -> tuple[int, ...]:
    """Increasing whole numbers that are given."""
    found = self.record[key]
    most = kinds.MOST_LEVELS
    right = (
      isinstance(found, list)
      and all(type(n) is int for n in found)
      and 2 <= len(found) <= most
      and sorted(set(found)) == found
    )
    self.expect(right, key, found, f'2 to {most} increasing whole numbers')
    return tuple(found)

  def flag(self, key: str) -> bool:
    """True or false, the latter where it is not given."""
    value = self.record.get(key, False)
    self.expect(type(value) is bool, key, value, 'true or false')
    return value

  def share(self, key: str) -> float | None:
    """A rate below 1; None for 1 and where it is not given."""
    value = self.record.get(key)
    if value is None:
      return None
    right = type(value) in (int, float) and 0 < value <= 1
    self.expect(right, key, value, 'a rate above 0, at most 1')
    return None if value == 1 else float(value)

  def seconds(self, key: str) -> float | None:
    """A duration, or None."""
    value = self.record.get(key)
    if value is None:
      return None
    # False for NaN too.
    right = type(value) in (int, float) and 0 <= value <= _LONGEST_S
    self.expect(right, key, value, f'a number from 0 to {_LONGEST_S}')
    return value

  def name(self, column: str) -> str:
    """The name of an entry, or one made of its column; it can name a file."""
    if 'name' not in self.record:
      return plain(column)
    name = self.text('name')
    if (
      not all(map(_may_be_in_name, name))
      or name.startswith(('.', '-'))
      or name != _shortened(name)
    ):
      self.fail(
        f'name: {name!r} can name no file; expected letters, digits and _.-, at'
        f' most {_LONGEST_NAME} bytes'
      )
    return name

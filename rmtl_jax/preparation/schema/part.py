"""An object of the schema's JSON, with checked access to its values."""

from __future__ import annotations

import numbers
import unicodedata
from collections.abc import Callable
from typing import Any, NoReturn

from rmtl_jax import types
from rmtl_jax.config import values as config_values

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

  def fail(self, what: str) -> NoReturn:
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
    """The object under a key; a text stands for the object's `column`."""
    if key not in self.record:
      self.fail(f'{key}: missing')
    return self._child(key, self.record[key])

  def entries(self, key: str) -> list[Part]:
    """The objects of a list; a text stands for the object's `column`."""
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    return [self._child(f'{key}[{i}]', entry) for i, entry in enumerate(found)]

  def _child(self, key: str, record: Any) -> Part:
    record = {'column': record} if isinstance(record, str) else record
    return Part(record, f'{self.path}{self.sign}{key}', '.')

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

  def optional(self, key: str) -> str | None:
    """A text, or None."""
    return None if self.record.get(key) is None else self.text(key)

  def texts(self, key: str, empty: bool = False) -> tuple[str, ...]:
    """A list of texts, () where it is not given; `empty` allows empty ones."""
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    for value in found:
      right = isinstance(value, str) and (value != '' or empty)
      self.expect(right, key, value, 'text')
    return tuple(found)

  def flag(self, key: str) -> bool:
    """True or false, the latter where it is not given."""
    value = self.record.get(key, False)
    self.expect(type(value) is bool, key, value, 'true or false')
    return value

  def number(
    self, key: str, fits: Callable[[Any], bool], expected: str
  ) -> float | None:
    """A number that fits, or None; numpy's too, as a column's mean is one.

    Args:
      fits: false for NaN, infinity and a whole number that no float holds.
      expected: what should have been given, for errors.
    """
    value = self.record.get(key)
    if value is None:
      return None
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    self.expect(is_number and fits(value), key, value, expected)
    return float(value)

  def whole(self, key: str, low: int, high: int) -> int | None:
    """A whole number from low to high, or None."""
    expected = f'a whole number from {low} to {high}'
    value = self.number(
      key, lambda n: low <= n <= high and n == int(n), expected
    )
    return None if value is None else int(value)

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

"""Looks values up in the vocabularies of a run."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax.preparation import sql


class Vocabulary:
  """A field's vocabulary.

  Values are compared as text. In a vocabulary of numbers 118.0 equals 118: data
  that were prepared from a float column, or from CSV that pandas wrote, may
  have one and rows to predict for the other.

  Attributes:
    values: the vocabulary from row 1 on, text[size - 1].
    rest: fraction of train values that are row 0 (missing ones included).
  """

  def __init__(self, values: pa.Array, rest: float = 0.0):
    """Looks nothing up yet."""
    self.values = values
    self.rest = rest

  def __len__(self) -> int:
    return len(self.values)

  def rows(self, values: pa.Array, is_text: bool = False) -> np.ndarray:
    """Looks values up; 0 stands for unknown ones.

    Args:
      values: text from sql.value_text, which has written 118.0 of a column of
        numbers as 118.
      is_text: whether the raw column was text, so that 118.0 may remain.

    Returns:
      i64[len(values)].
    """
    values = values.cast(self.values.type)
    found = _index(values, self.values)
    if found.null_count > values.null_count and self._whole is not None:
      others = _whole(values) if is_text else values
      found = _call('coalesce', found, _index(others, self._whole))
    return found.fill_null(-1).to_numpy() + 1

  def spelled(self, values: pa.Array) -> pa.Array:
    """Rewrites known values in the vocabulary's spelling."""
    rows = self.rows(values, is_text=True)
    taken = self.values.take(pa.array(rows - 1, mask=rows == 0))
    return _call('coalesce', taken, values)

  @functools.cached_property
  def _whole(self) -> pa.Array | None:
    """The vocabulary with 118 for 118.0, or None if it has other text."""
    return strip_zero_fractions(self.values)


def strip_zero_fractions(values: pa.Array) -> pa.Array | None:
  """Text with 118 for 118.0, or None if any of it is no number."""
  are_numbers = _matches(values, sql.NUMBER)
  # True for no values, too.
  return _whole(values) if _call('all', are_numbers).as_py() else None


def _index(values: pa.Array, options: pa.Array) -> pa.Array:
  """First positions of values among the options; null if missing."""
  chosen = pc.SetLookupOptions(value_set=options)
  return pc.call_function('index_in', [values], chosen)


def _whole(values: pa.Array) -> pa.Array:
  """Writes text of whole floats as whole numbers, where floats are exact."""
  none = pa.scalar(None, values.type)
  numbers = _call('if_else', _matches(values, sql.WHOLE), values, none)
  size = _call('abs', numbers.cast(pa.float64()))
  limit = pa.scalar(float(sql.EXACT['DOUBLE']))
  exact = _call('less', size, limit).fill_null(False)
  options = pc.ReplaceSubstringOptions(sql.WHOLE, sql.WHOLE_TEXT)
  written = pc.call_function('replace_substring_regex', [values], options)
  return _call('if_else', exact, written, values)


def _matches(values: pa.Array, pattern: str) -> pa.Array:
  options = pc.MatchSubstringOptions(pattern)
  return pc.call_function('match_substring_regex', [values], options)


def _call(name: str, *values: Any) -> Any:
  # Type checkers know no function of pyarrow.compute by its name.
  return pc.call_function(name, list(values))

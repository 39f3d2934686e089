"""The values of a field that a run has embeddings of, and how to find them."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax.preparation import sql


class Vocabulary:
  """A field's vocabulary.

  Values are found as they are written. Where all of the vocabulary are
  numbers, 118.0 is 118 too: data that were prepared from a float column, or
  from CSV that pandas wrote, may have the one and rows to predict for the
  other.

  Attributes:
    values: the vocabulary from row 1 on, text[size - 1].
    rest: the share of train values, missing ones among them, that row 0 stands
      for.
  """

  def __init__(self, values: pa.Array, rest: float = 0.0):
    """Looks nothing up yet."""
    self.values = values
    self.rest = rest

  def __len__(self) -> int:
    return len(self.values)

  def rows(self, values: pa.Array, is_text: bool = False) -> np.ndarray:
    """Rows of the vocabulary, 0 for what it lacks.

    Args:
      values: text as sql.value_text writes it.
      is_text: whether the raw column was text: 118.0 may then stand for 118,
        which of a column of numbers has been told already.

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
    """Text as the vocabulary writes it; what it lacks stays as it is."""
    rows = self.rows(values, is_text=True)
    taken = self.values.take(pa.array(rows - 1, mask=rows == 0))
    return _call('coalesce', taken, values)

  @functools.cached_property
  def _whole(self) -> pa.Array | None:
    """The vocabulary with 118 for 118.0, or None where it is not of numbers."""
    return strip_zero_fractions(self.values)


def strip_zero_fractions(values: pa.Array) -> pa.Array | None:
  """Text with 118 for 118.0, or None where it is not of numbers alone."""
  are_numbers = _matches(values, sql.NUMBER)
  # Of no values it is true too.
  return _whole(values) if _call('all', are_numbers).as_py() else None


def _index(values: pa.Array, options: pa.Array) -> pa.Array:
  """Places of values among the options, the first where there are several."""
  chosen = pc.SetLookupOptions(value_set=options)
  return pc.call_function('index_in', [values], chosen)


def _whole(values: pa.Array) -> pa.Array:
  """Text of floats that are whole numbers, as text of these."""
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

"""Looks values up in the vocabularies of a run."""

from __future__ import annotations

import functools
from collections.abc import Iterator
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
    values: the vocabulary from row 1 on.
    rest: fraction of train values that are row 0 (missing ones included).
  """

  def __init__(self, values: pa.Array, rest: float = 0.0):
    """Looks nothing up yet."""
    self.values = values
    self.rest = rest

  def __len__(self) -> int:
    return len(self.values)

  def rows(self, values: pa.Array, is_text: bool = False) -> np.ndarray:
    """Looks values up, i64[len(values)]; 0 means unknown ones.

    Args:
      values: text from sql.value_text, which has written 118.0 of a column of
        numbers as 118.
      is_text: whether the raw column was text, so that 118.0 may remain.
    """
    encoded = values.cast(self.values.type).dictionary_encode()
    places = np.append(self._find(encoded.dictionary, is_text), -1)
    return places[encoded.indices.fill_null(-1).to_numpy()] + 1

  def spelled(self, values: pa.Array) -> pa.Array:
    """Rewrites values in the vocabulary's spelling, unknown ones as its own."""
    rows = self.rows(values, is_text=True)
    taken = self.values.take(pa.array(rows - 1, mask=rows == 0))
    others = whole(values) if self._is_whole else values
    return _call('coalesce', taken, others)

  def warm_up(self) -> None:
    """Builds the index that the first look-up would build."""
    _ = self._places, self._whole_places

  def _find(self, values: pa.Array, is_text: bool) -> np.ndarray:
    """First positions of values, i64[len(values)]; -1 for unknown ones."""
    found = self._places.find(values.to_pylist())
    lacking = np.flatnonzero(found < 0)
    if len(lacking) and self._whole_places is not None:
      others = values.take(pa.array(lacking))
      others = whole(others) if is_text else others
      found[lacking] = self._whole_places.find(others.to_pylist())
    return found

  @functools.cached_property
  def _places(self) -> _Places:
    return _Places(self.values)

  @functools.cached_property
  def _whole_places(self) -> _Places | None:
    if self._whole is None:
      return None
    return self._places if self._is_whole else _Places(self._whole)

  @functools.cached_property
  def _is_whole(self) -> bool:
    """Whether it is of numbers and has 118 for 118.0 itself."""
    return self._whole is not None and self._whole.equals(self.values)

  @functools.cached_property
  def _whole(self) -> pa.Array | None:
    """The vocabulary with 118 for 118.0, or None if it has other text."""
    return strip_zero_fractions(self.values)


class _Places:
  """Positions of texts, sorted by the hash of the text: 16 bytes each."""

  def __init__(self, texts: pa.Array):
    """Hashes all texts."""
    self._texts = texts
    hashes = np.fromiter(
      (hash(text) for part in _parts(texts) for text in part.to_pylist()),
      np.int64,
      len(texts),
    )
    # Stable: of equal texts the first comes first.
    self._order = np.argsort(hashes, kind='stable')
    self._hashes = hashes[self._order]

  def find(self, texts: list[str]) -> np.ndarray:
    """First positions, i64[len(texts)]; -1 for unknown ones."""
    if not len(self._order):
      return np.full(len(texts), -1)
    hashes = np.fromiter(map(hash, texts), np.int64, len(texts))
    starts = np.searchsorted(self._hashes, hashes)
    places = self._order[np.minimum(starts, len(self._order) - 1)]
    candidates = self._texts.take(pa.array(places)).to_pylist()
    for i, (text, other) in enumerate(zip(texts, candidates, strict=True)):
      if text != other:
        places[i] = self._search(text, int(hashes[i]), int(starts[i]))
    return places

  def _search(self, text: str, code: int, start: int) -> int:
    """The first position of a text among those with its hash, or -1."""
    for at in range(start, len(self._hashes)):
      if self._hashes[at] != code:
        break
      place = int(self._order[at])
      if self._texts[place].as_py() == text:
        return place
    return -1


def _parts(values: pa.Array, size: int = 65_536) -> Iterator[pa.Array]:
  return (values.slice(n, size) for n in range(0, len(values), size))


def strip_zero_fractions(values: pa.Array) -> pa.Array | None:
  """Text with 118 for 118.0, or None if any of it is no number."""
  are_numbers = _matches(values, sql.NUMBER)
  # True for no values, too.
  return whole(values) if _call('all', are_numbers).as_py() else None


def whole(values: pa.Array) -> pa.Array:
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

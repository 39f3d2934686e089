"""Sentences on a terminal of 80 columns."""

from __future__ import annotations

import textwrap
import unicodedata

COLUMNS = 80
# Stands before a letter that takes two cells, as Chinese ones do.
_FIRST_CELL = '\0'


def lines(text: str, first: str = '', rest: str = '  ') -> list[str]:
  """A sentence on as many lines as it takes; paths and names stay whole.

  Args:
    first: prefix of the first line.
    rest: prefix of the others.
  """
  wrapped = textwrap.wrap(
    in_cells(text),
    COLUMNS,
    initial_indent=first,
    subsequent_indent=rest,
    break_long_words=False,
    break_on_hyphens=False,
  )
  return [of_cells(line) for line in wrapped]


def filled(text: str, first: str = '', rest: str = '  ') -> str:
  """The text of `lines`."""
  return '\n'.join(lines(text, first, rest))


def in_cells(text: str) -> str:
  """A text with a character for each cell that it takes.

  >>> len(in_cells('click 点击'))
  10
  """
  if text.isascii():
    return text
  return ''.join(
    _FIRST_CELL + letter
    if unicodedata.east_asian_width(letter) in ('W', 'F')
    else letter
    for letter in text
  )


def of_cells(cells: str) -> str:
  """The text of `in_cells`."""
  return cells.replace(_FIRST_CELL, '')

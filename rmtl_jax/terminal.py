"""Sentences on a terminal of 80 columns."""

from __future__ import annotations

import textwrap

COLUMNS = 80


def lines(text: str, first: str = '', rest: str = '  ') -> list[str]:
  """A sentence on as many lines as it takes; paths and names stay whole.

  Args:
    first: stands before the first line.
    rest: stands before the others.
  """
  return textwrap.wrap(
    text,
    COLUMNS,
    initial_indent=first,
    subsequent_indent=rest,
    break_long_words=False,
    break_on_hyphens=False,
  )


def filled(text: str, first: str = '', rest: str = '  ') -> str:
  """The text of `lines`."""
  return '\n'.join(lines(text, first, rest))

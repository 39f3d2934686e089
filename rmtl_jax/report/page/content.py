"""The parts of a report page.

All text is plain: code that builds a page escapes nothing, the renderers
(markdown.py and html.py beside this file) escape everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

NOTHING = '-'  # in a cell without a value


class Text(NamedTuple):
  """A paragraph.

  Attributes:
    text: one or more sentences.
    strong: whether it is the page's main result.
  """

  text: str
  strong: bool = False


class Items(NamedTuple):
  """A list of sentences."""

  lines: Sequence[str]


class Alert(NamedTuple):
  """Warnings about the figures."""

  lines: Sequence[str]


class Heading(NamedTuple):
  """The heading of a part of a section."""

  text: str


class Table(NamedTuple):
  """A table of text cells.

  Attributes:
    header: names of the columns.
    rows: as many cells as columns each.
    names: number of columns on the left that hold names, not numbers.
  """

  header: tuple[str, ...]
  rows: list[tuple[str, ...]]
  names: int

  def first(self, count: int) -> Table:
    """Its first rows."""
    return self._replace(rows=self.rows[:count])


class Grid(NamedTuple):
  """A table on a page.

  Attributes:
    caption: what it holds.
    table: its cells.
    code: names of the columns that hold settings or names of methods.
  """

  caption: str
  table: Table
  code: Sequence[str] = ()


class Picture(NamedTuple):
  """A picture.

  Attributes:
    name: its file's, without extension; unique on the page.
    svg: from vector.picture.
    title: a few words.
    alt: a description for screen readers.
    wide: whether it has many panels; it then keeps its size on a small screen.
  """

  name: str
  svg: str
  title: str
  alt: str
  wide: bool = False


class Pictures(NamedTuple):
  """Pictures side by side, as far as the screen has room."""

  pictures: Sequence[Picture]


class Folded(NamedTuple):
  """Blocks that are folded behind one line."""

  summary: str
  blocks: Sequence[Text | Items | Grid]


Block = Text | Items | Alert | Heading | Grid | Pictures | Folded


class Section(NamedTuple):
  """A chapter."""

  title: str
  blocks: Sequence[Block]


class Page(NamedTuple):
  """A report, with blocks before its first section."""

  title: str
  lead: Sequence[Block]
  sections: Sequence[Section]


def number(value: float | None, spec: str, undefined: str = NOTHING) -> str:
  """Formats a number for a cell.

  Args:
    value: None where the rows don't define it.
    spec: a format specification, as '.4f'.
    undefined: the text for None.
  """
  return undefined if value is None else format(value, spec)


def side_by_side(drawn: Iterable[Picture | None]) -> list[Pictures]:
  """A block of the pictures that there are; none without any."""
  found = [picture for picture in drawn if picture is not None]
  return [Pictures(found)] if found else []


def pictures(page: Page) -> Iterator[Picture]:
  """Yields all pictures, in order."""
  for blocks in (page.lead, *(s.blocks for s in page.sections)):
    for block in blocks:
      if isinstance(block, Pictures):
        yield from block.pictures

"""What a report consists of.

All text is plain: whoever builds a page escapes nothing, the renderers
(markdown.py and html.py beside this file) escape everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple


class Text(NamedTuple):
  """A paragraph.

  Attributes:
    text: one or more sentences.
    strong: whether it is what a reader should take away.
  """

  text: str
  strong: bool = False


class Items(NamedTuple):
  """A list of sentences."""

  lines: Sequence[str]


class Alert(NamedTuple):
  """What a reader must know before believing a figure."""

  lines: Sequence[str]


class Heading(NamedTuple):
  """Of a part of a section."""

  text: str


class Table(NamedTuple):
  """Cells as text.

  Attributes:
    header: names of the columns.
    rows: as many cells each.
    names: how many columns on the left hold names, not numbers.
  """

  header: tuple[str, ...]
  rows: list[tuple[str, ...]]
  names: int


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
    name: of its file, without extension; unique on the page.
    svg: from vector.draw.
    title: a few words.
    alt: what it shows, for those who can't see it.
    wide: whether it has many panels, and so keeps its size on a small screen.
  """

  name: str
  svg: str
  title: str
  alt: str
  wide: bool = False


class Pictures(NamedTuple):
  """Pictures side by side, where there is room."""

  pictures: Sequence[Picture]


class Folded(NamedTuple):
  """What few readers want, behind one line."""

  summary: str
  blocks: Sequence[Text | Items | Grid]


Block = Text | Items | Alert | Heading | Grid | Pictures | Folded


class Section(NamedTuple):
  """A chapter."""

  title: str
  blocks: Sequence[Block]


class Page(NamedTuple):
  """A report.

  Attributes:
    title: its name.
    lead: blocks before the first section.
    sections: the chapters.
  """

  title: str
  lead: Sequence[Block]
  sections: Sequence[Section]


def pictures(page: Page) -> Iterator[Picture]:
  """All pictures, in order."""
  for blocks in (page.lead, *(s.blocks for s in page.sections)):
    for block in blocks:
      if isinstance(block, Pictures):
        yield from block.pictures

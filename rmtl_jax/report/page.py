"""What a report consists of; rendered as Markdown here, as HTML next door.

All text is plain: whoever builds a page escapes nothing, both renderers
escape everything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from rmtl_jax.report import comparison_tables, plain


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


class Grid(NamedTuple):
  """A table.

  Attributes:
    caption: what it holds.
    table: its cells.
    code: names of the columns whose cells are settings or names of methods.
  """

  caption: str
  table: comparison_tables.Table
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


def markdown(page: Page, directory: str = 'pictures') -> str:
  """The page as GitHub-flavoured Markdown.

  Args:
    page: the report.
    directory: where the files of its pictures are, relative to the text.
  """
  parts = [f'# {plain.markdown(page.title)}', *_blocks(page.lead, directory)]
  for section in page.sections:
    parts.append(f'## {plain.markdown(section.title)}')
    parts += _blocks(section.blocks, directory)
  return '\n\n'.join(parts) + '\n'


def _blocks(blocks: Iterable[Block], directory: str) -> Iterator[str]:
  for block in blocks:
    if isinstance(block, Text):
      mark = '**' if block.strong else ''
      yield f'{mark}{plain.markdown(block.text)}{mark}'
    elif isinstance(block, Items):
      yield _bullets(block.lines)
    elif isinstance(block, Alert):
      yield '**Warnings**\n\n' + _bullets(block.lines)
    elif isinstance(block, Heading):
      yield f'### {plain.markdown(block.text)}'
    elif isinstance(block, Grid):
      yield f'{plain.markdown(block.caption)}:\n\n{_table(block)}'
    elif isinstance(block, Pictures):
      for picture in block.pictures:
        alt = plain.markdown(f'{picture.title}. {picture.alt}')
        yield f'![{alt}]({directory}/{picture.name}.svg)'
    else:
      yield f'<details><summary>{plain.markdown(block.summary)}</summary>'
      yield from _blocks(block.blocks, directory)
      yield '</details>'


def _bullets(lines: Iterable[str]) -> str:
  return '\n'.join(f'- {plain.markdown(line)}' for line in lines)


def _table(grid: Grid) -> str:
  """A pipe table; names on the left, numbers on the right."""
  table = grid.table
  rule = [
    '---' if i < table.names else '---:' for i in range(len(table.header))
  ]
  rows = [[plain.markdown(name) for name in table.header], rule]
  for row in table.rows:
    rows.append(
      [
        # A table ends its cell at a bar even in code.
        plain.code(cell).replace('|', '\\|')
        if name in grid.code
        else plain.markdown(cell)
        for name, cell in zip(table.header, row, strict=True)
      ]
    )
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)

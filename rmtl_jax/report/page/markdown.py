"""Renders a page as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator

from rmtl_jax.report import plain
from rmtl_jax.report.page import content


def render(page: content.Page, file: str = 'pictures/{}.svg') -> str:
  """Renders the page.

  Args:
    file: of a picture with the name `{}`, relative to the text.
  """
  parts = [f'# {plain.markdown(page.title)}', *_blocks(page.lead, file)]
  for section in page.sections:
    parts.append(f'## {plain.markdown(section.title)}')
    parts += _blocks(section.blocks, file)
  return '\n\n'.join(parts) + '\n'


def _blocks(blocks: Iterable[content.Block], file: str) -> Iterator[str]:
  for block in blocks:
    if isinstance(block, content.Text):
      mark = '**' if block.strong else ''
      yield f'{mark}{plain.markdown(block.text)}{mark}'
    elif isinstance(block, content.Items):
      yield bullets(block.lines)
    elif isinstance(block, content.Alert):
      yield '**Warnings**\n\n' + bullets(block.lines)
    elif isinstance(block, content.Heading):
      yield f'### {plain.markdown(block.text)}'
    elif isinstance(block, content.Grid):
      yield f'{plain.markdown(block.caption)}:'
      yield table(block.table, block.code)
    elif isinstance(block, content.Pictures):
      for picture in block.pictures:
        alt = plain.markdown(f'{picture.title}. {picture.alt}')
        yield f'![{alt}]({file.format(picture.name)})'
    else:
      yield f'<details><summary>{plain.markdown(block.summary)}</summary>'
      yield from _blocks(block.blocks, file)
      yield '</details>'


def bullets(lines: Iterable[str]) -> str:
  """Renders a list of sentences."""
  return '\n'.join(f'- {plain.markdown(line)}' for line in lines)


def table(cells: content.Table, code: Collection[str] = ()) -> str:
  """Renders a pipe table, names aligned left and numbers right.

  Args:
    code: names of the columns that are set as code.
  """
  columns = range(len(cells.header))
  rule = ['---' if i < cells.names else '---:' for i in columns]
  rows = [[plain.markdown(name) for name in cells.header], rule]
  for row in cells.rows:
    rows.append(
      [
        # GitHub ends a cell at a bar even within code.
        plain.code(cell).replace('|', '\\|')
        if name in code
        else plain.markdown(cell)
        for name, cell in zip(cells.header, row, strict=True)
      ]
    )
  return '\n'.join(f'| {" | ".join(row)} |' for row in rows)

"""A report as one HTML page: no script, no network, no file beside it."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator

from rmtl_jax.report import plain
from rmtl_jax.report.page import content, style, vector


def render(page: content.Page) -> str:
  """The whole document; whatever came from data is text in it."""
  title = _text(page.title)
  links = ''.join(
    f'<li><a href="#section-{i}">{_text(section.title)}</a></li>'
    for i, section in enumerate(page.sections)
  )
  parts = [
    '<!DOCTYPE html>',
    '<html lang="en">',
    '<head>',
    '<meta charset="utf-8">',
    '<meta name="viewport" content="width=device-width, initial-scale=1">',
    # What a page could load or run, had something slipped in.
    '<meta http-equiv="Content-Security-Policy" content="default-src'
    " 'none'; style-src 'unsafe-inline'; img-src data:\">",
    f'<title>{title}</title>',
    f'<style>\n{style.CSS}</style>',
    '</head>',
    '<body>',
    '<header>',
    f'<h1>{title}</h1>',
    *_blocks(page.lead),
    f'<nav aria-label="Contents"><ul>{links}</ul></nav>',
    '</header>',
    '<main>',
  ]
  for i, section in enumerate(page.sections):
    heading = f'section-{i}'
    parts += [
      f'<section aria-labelledby="{heading}">',
      f'<h2 id="{heading}">{_text(section.title)}</h2>',
      *_blocks(section.blocks),
      '</section>',
    ]
  return '\n'.join([*parts, '</main>', '</body>', '</html>']) + '\n'


def _text(text: object) -> str:
  return html.escape(plain.one_line(text))


def _blocks(blocks: Iterable[content.Block]) -> Iterator[str]:
  for block in blocks:
    if isinstance(block, content.Text):
      inner = _text(block.text)
      yield (
        f'<p><strong>{inner}</strong></p>'
        if block.strong
        else (f'<p>{inner}</p>')
      )
    elif isinstance(block, content.Items):
      yield _list(block.lines)
    elif isinstance(block, content.Alert):
      yield (
        '<div class="alert" role="note"><p>Warnings</p>'
        f'{_list(block.lines)}</div>'
      )
    elif isinstance(block, content.Heading):
      yield f'<h3>{_text(block.text)}</h3>'
    elif isinstance(block, content.Grid):
      yield _table(block)
    elif isinstance(block, content.Pictures):
      yield _pictures(block)
    else:
      yield f'<details><summary>{_text(block.summary)}</summary>'
      yield from _blocks(block.blocks)
      yield '</details>'


def _list(lines: Iterable[str]) -> str:
  items = ''.join(f'<li>{_text(line)}</li>' for line in lines)
  return f'<ul>{items}</ul>'


def _table(grid: content.Grid) -> str:
  """In a box that scrolls by itself, for fingers and for the keyboard."""
  table, caption = grid.table, _text(grid.caption)
  head = ''.join(
    f'<th scope="col"{_kind(i, table.names)}>{_text(name)}</th>'
    for i, name in enumerate(table.header)
  )
  rows = ''.join(f'<tr>{_cells(grid, row)}</tr>\n' for row in table.rows)
  return (
    f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}">'
    f'<table><caption><span>{caption}</span></caption><thead><tr>{head}</tr></thead>\n'
    f'<tbody>\n{rows}</tbody></table></div>'
  )


def _cells(grid: content.Grid, row: Iterable[str]) -> str:
  cells = []
  for i, (name, cell) in enumerate(zip(grid.table.header, row, strict=True)):
    inner = _text(cell)
    if name in grid.code:
      # Long names of methods and settings may be broken there.
      broken = re.sub('(,|[.:_+=](?=[a-z]))', r'\1<wbr>', inner)
      inner = f'<code>{broken}</code>'
    kind = _kind(i, grid.table.names, name in grid.code)
    cells.append(
      f'<td{kind}>{inner}</td>' if i else f'<th scope="row"{kind}>{inner}</th>'
    )
  return ''.join(cells)


def _kind(column: int, names: int, code: bool = False) -> str:
  kind = 'name' if column < names else 'number'
  return f' class="{kind} setting"' if code else f' class="{kind}"'


def _pictures(block: content.Pictures) -> str:
  figures = []
  for picture in block.pictures:
    svg = vector.inline(
      picture.svg, picture.name, picture.title, picture.alt, picture.wide
    )
    if picture.wide:
      svg = (
        '<div class="scroll" tabindex="0" role="region"'
        f' aria-label="{_text(picture.title)}">{svg}</div>'
      )
    caption = f'<figcaption>{_text(picture.title)}</figcaption>'
    figures.append(f'<figure>{caption}{svg}</figure>')
  wide = ' wide' if any(picture.wide for picture in block.pictures) else ''
  return f'<div class="pictures{wide}">{"".join(figures)}</div>'

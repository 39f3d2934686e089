"""Reads a page as a browser would, as far as tests need it."""

from __future__ import annotations

import html
import html.parser
import re

# Elements that HTML does not close.
_VOID = ('meta', 'wbr', 'br', 'img', 'link', 'input', 'hr')


class Reader(html.parser.HTMLParser):
  """What a page holds.

  Attributes:
    text: all that is shown, styles left out.
    elements: (tag, attributes), in order.
    headings: (level, text).
    tables: rows of cells, by caption.
    pictures: (title, description) of every SVG.
  """

  def __init__(self, page: str):
    super().__init__(convert_charrefs=True)
    self.text, self.elements, self.headings = '', [], []
    self.tables, self.pictures, self._open = {}, [], []
    self._rows, self._words = [], ['', '']
    self.feed(page)
    self.close()
    assert self._open == [], 'an element is not closed'

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag in _VOID:
      return
    self._open.append(tag)
    if tag in ('h1', 'h2', 'h3', 'h4'):
      self.headings.append((int(tag[1]), ''))
    elif tag == 'table':
      self._caption, self._rows = '', []
    elif tag == 'tr':
      self._rows.append([])
    elif tag in ('th', 'td'):
      self._rows[-1].append('')
    elif tag == 'svg':
      self._words = ['', '']

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open and self._open.pop() == tag, tag
    if tag == 'table':
      assert self._caption not in self.tables
      self.tables[self._caption] = self._rows
    elif tag == 'svg':
      self.pictures.append(tuple(self._words))

  def handle_data(self, data):
    if 'style' in self._open and 'svg' not in self._open:
      return
    self.text += data
    if not self._open:
      return
    if self.headings and self._open[-1] in ('h1', 'h2', 'h3', 'h4'):
      level, text = self.headings[-1]
      self.headings[-1] = level, text + data
    elif 'caption' in self._open:
      self._caption += data
    elif {'th', 'td'} & set(self._open):
      self._rows[-1][-1] += data
    elif 'svg' in self._open and self._open[-1] in ('title', 'desc'):
      self._words[self._open[-1] == 'desc'] += data


def assert_closed(text):
  """Nothing is loaded, nothing runs, identifiers are those of one element."""
  found = Reader(text)
  names = [a['id'] for _, a in found.elements if 'id' in a]
  assert len(names) == len(set(names))
  for tag, attributes in found.elements:
    assert tag not in ('script', 'iframe', 'object', 'embed', 'link', 'base')
    for name, value in attributes.items():
      assert not name.startswith('on')
      if name in ('href', 'src') or name.endswith(':href'):
        assert value.startswith('#') and value[1:] in names, value
      for url in re.findall(r'url\(([^)]*)\)', value or ''):
        assert url.startswith('#') and url[1:] in names, url


def markdown_tables(text: str) -> dict[str, list[list[str]]]:
  """Rows of cells of every pipe table, by the line before it."""
  found = {}
  for block in text.split('\n\n'):
    lines = block.splitlines()
    if not lines or not lines[0].startswith('| '):
      caption = block.removesuffix(':')
      continue
    rows = [_cells(line) for line in lines]
    assert caption not in found
    found[caption] = [rows[0], *rows[2:]]
  return found


def _cells(line: str) -> list[str]:
  cells = re.split(r'(?<!\\) ?\| ?', line.strip())[1:-1]
  plain = [re.sub(r'\\([\\`\[\]|*])', r'\1', cell) for cell in cells]
  return [html.unescape(cell).strip('`') for cell in plain]

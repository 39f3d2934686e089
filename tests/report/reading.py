"""Reads a page as a browser would, as far as tests need it."""

from __future__ import annotations

import html.parser

# Elements that HTML does not close.
_VOID = ('meta', 'wbr', 'br', 'img', 'link', 'input', 'hr')


class Reader(html.parser.HTMLParser):
  """What a page holds.

  Attributes:
    text: all that is shown, styles left out.
    elements: (tag, attributes), in order.
    headings: (level, text).
    tables: rows of cells, by caption.
    pictures: descriptions of all pictures.
  """

  def __init__(self, page: str):
    super().__init__(convert_charrefs=True)
    self.text, self.elements, self.headings = '', [], []
    self.tables, self.pictures, self._open = {}, [], []
    self._rows = []
    self.feed(page)
    self.close()
    assert self._open == [], 'an element is not closed'

  def handle_starttag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))
    if tag == 'img':
      self.pictures.append(dict(attrs)['alt'])
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

  def handle_startendtag(self, tag, attrs):
    self.elements.append((tag, dict(attrs)))

  def handle_endtag(self, tag):
    assert self._open and self._open.pop() == tag, tag
    if tag == 'table':
      assert self._caption not in self.tables
      self.tables[self._caption] = self._rows

  def handle_data(self, data):
    if 'style' in self._open:
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


def assert_closed(text):
  """Nothing is loaded and nothing runs."""
  for tag, attributes in Reader(text).elements:
    assert tag not in ('script', 'iframe', 'object', 'embed', 'link', 'base')
    for name, value in attributes.items():
      assert not name.startswith('on')
      if name in ('href', 'src') or name.endswith(':href'):
        assert value.startswith('data:image/svg+xml;base64,'), value

"""Pictures as SVG: text stays text, colours are those of the page."""

from __future__ import annotations

import io
import re
import warnings
from typing import Any
from xml.etree import ElementTree

import matplotlib
import matplotlib.figure

from rmtl_jax import types
from rmtl_jax.report import pictures
from rmtl_jax.report.page import content

_SVG = 'http://www.w3.org/2000/svg'
_XLINK = 'http://www.w3.org/1999/xlink'
ElementTree.register_namespace('', _SVG)
ElementTree.register_namespace('xlink', _XLINK)

# Colours of figures, and the variables of report.css that replace them.
_VARIABLES = {
  '#000000': 'ink',
  '#333333': 'ink',
  '#767676': 'muted',
  '#b0b0b0': 'grid',
  '#cccccc': 'grid',
  '#ffffff': 'paper',
  **{c.lower(): f'series{i}' for i, c in enumerate(pictures.COLOURS)},
}
_STYLE: dict[Any, Any] = {
  'svg.fonttype': 'none',
  # Else identifiers are random and no two files of a figure are alike.
  'svg.hashsalt': 'rmtl',
  'text.parse_math': False,
  'font.size': 11.0,
  'axes.titlesize': 11.0,
  'legend.fontsize': 10.0,
  'axes.spines.top': False,
  'axes.spines.right': False,
}


def style():
  """Sets the style of a page's figures; a context manager and decorator."""
  return matplotlib.rc_context(_STYLE)


def picture(
  name: str,
  figure: matplotlib.figure.Figure,
  title: str,
  alt: str,
  wide: bool = False,
) -> content.Picture:
  """A figure on a page; see content.Picture."""
  return content.Picture(name, draw(figure), title, alt, wide)


def draw(figure: matplotlib.figure.Figure) -> str:
  """Renders a figure as SVG on white, deterministically."""
  buffer = io.StringIO()
  with style(), warnings.catch_warnings():
    # A browser has more scripts than the font that the layout is made for.
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    # Of some spans, such as three days, it takes its widest step, which fits.
    warnings.filterwarnings('ignore', 'AutoDateLocator was unable to pick')
    figure.savefig(buffer, format='svg', metadata={'Date': None})
  root = ElementTree.fromstring(buffer.getvalue())
  for metadata in root.findall(f'{{{_SVG}}}metadata'):
    root.remove(metadata)
  return ElementTree.tostring(root, encoding='unicode') + '\n'


def inline(picture: content.Picture) -> str:
  """Renders an SVG element for the inside of a page, in the page's colours.

  Args:
    picture: its name prefixes all identifiers, which must be unique on the
      page; screen readers read its title, then its alt.
  """
  name = picture.name
  root = ElementTree.fromstring(picture.svg)
  _drop_background(root)
  for element in root.iter():
    _adapt(element, name)
  # A point is 4/3 px.
  width = float(root.attrib.pop('width').removesuffix('pt')) / 0.75
  root.attrib.pop('height')
  root.attrib.pop('version', None)
  least = f';min-width:{0.85 * width:.0f}px' if picture.wide else ''
  root.set('style', f'max-width:{width:.0f}px{least}')
  root.set('role', 'img')
  root.set('aria-labelledby', f'{name}-title {name}-desc')
  for i, (tag, text) in enumerate(
    (('title', picture.title), ('desc', picture.alt))
  ):
    child = ElementTree.Element(f'{{{_SVG}}}{tag}', {'id': f'{name}-{tag}'})
    child.text = types.one_line(text)
    root.insert(i, child)
  return ElementTree.tostring(root, encoding='unicode')


def _drop_background(root: ElementTree.Element) -> None:
  """Removes Matplotlib's first patch, the figure's background."""
  for group in root.iter(f'{{{_SVG}}}g'):
    for child in list(group):
      if child.get('id') == 'patch_1':
        group.remove(child)
        return


def _adapt(element: ElementTree.Element, name: str) -> None:
  """Replaces colours and prefixes identifiers of one element."""
  for key, value in list(element.attrib.items()):
    if key == 'id':
      element.set(key, f'{name}-{value}')
    elif key == f'{{{_XLINK}}}href':
      element.attrib.pop(key)
      element.set('href', f'#{name}-{value.removeprefix("#")}')
    elif key == 'style':
      element.set(key, re.sub(r'#[0-9a-f]{6}', _variable, value))
    else:
      element.set(key, value.replace('url(#', f'url(#{name}-'))


def _variable(colour: re.Match[str]) -> str:
  variable = _VARIABLES.get(colour[0])
  return f'var(--{variable})' if variable else colour[0]

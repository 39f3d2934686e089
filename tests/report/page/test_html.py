"""The page as HTML: it loads nothing, all is text, and it can be seen."""

import pathlib
import re

import matplotlib.figure
import pytest

from rmtl_jax.report.page import content, html, vector
from rmtl_jax.report.run import page as run_page
from tests.report.page import reading
from tests.report.run import example

CSS = (pathlib.Path(html.__file__).parent / 'report.css').read_text()
HOSTILE = (
  '</title></style><script>alert(1)</script> "\' onload=alert(1) & &amp; a.b=c'
  ' {{ 7 * 7 }} {% include "x" %} {# y #}'
)


@pytest.fixture(scope='module')
def built():
  return run_page.build(example.build())


def test_every_word_of_every_block_is_text():
  table = content.Table((HOSTILE, 'b'), [(HOSTILE, HOSTILE)], 1)
  svg = vector.draw(matplotlib.figure.Figure(figsize=(1, 1)))
  grids = [
    content.Grid(f'{HOSTILE} {i}', table, code)
    for i, code in enumerate([(), (HOSTILE,), (HOSTILE, 'b')])
  ]
  blocks = [
    content.Text(HOSTILE),
    content.Text(HOSTILE, strong=True),
    content.Items([HOSTILE]),
    content.Alert([HOSTILE]),
    content.Heading(HOSTILE),
    content.Folded(HOSTILE, [content.Text(HOSTILE), grids[2]]),
    *grids[:2],
    content.Pictures([content.Picture('p', svg, HOSTILE, HOSTILE)]),
    content.Pictures([content.Picture('q', svg, HOSTILE, HOSTILE, wide=True)]),
  ]
  page = content.Page(HOSTILE, blocks, [content.Section(HOSTILE, blocks[:1])])
  text = html.render(page)
  reading.assert_closed(text)
  found = reading.Reader(text)
  assert found.headings == [(1, HOSTILE), (3, HOSTILE), (2, HOSTILE)]
  assert set(found.tables) == {grid.caption for grid in grids}
  for rows in found.tables.values():
    assert rows == [list(table.header), *map(list, table.rows)]
  assert found.pictures == [(HOSTILE, HOSTILE)] * 2
  # Title and section twice, contents; 7 blocks of words; 3 grids of 4 texts;
  # 2 pictures of 3 texts.
  assert found.text.count(HOSTILE) == 5 + 7 + 3 * 4 + 2 * 3
  labels = [a['aria-label'] for _, a in found.elements if 'aria-label' in a]
  assert labels.count(HOSTILE) == 1  # the wide picture's


def test_nothing_is_loaded(built):
  reading.assert_closed(html.render(built))
  assert not re.search(r'url\(|@import', CSS)


def test_dark_light_and_paper_are_styled(built):
  text = html.render(built)
  assert 'color-scheme: light dark' in text
  assert 'prefers-color-scheme: dark' in text and '@media print' in text
  variables = set(re.findall(r'--([a-z0-9-]+):', CSS))
  used = set(re.findall(r'var\(--([a-z0-9-]+)\)', text))
  assert {'ink', 'grid', 'series0'} <= used <= variables
  # No colour of a picture is fixed, so each can be seen on both grounds.
  svgs = re.findall(r'<svg.*?</svg>', text, re.DOTALL)
  assert len(svgs) == 11
  assert not re.search('#[0-9a-f]{6}', ''.join(svgs))


def _luminance(colour):
  """Relative luminance, WCAG 2."""
  parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
  linear = [
    c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts
  ]
  return sum(
    w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True)
  )


def test_colours_can_be_told_from_both_grounds():
  light, dark = re.findall(r':root \{(.*?)\}', CSS, re.DOTALL)
  for theme in (light, dark):
    colours = dict(re.findall(r'--([a-z0-9]+): (#[0-9a-f]{6})', theme))
    paper = _luminance(colours['paper'])
    for name, colour in colours.items():
      least = {'ink': 7.0, 'muted': 4.5, 'accent': 4.5}.get(name, 3.0)
      if name in ('ink', 'muted', 'accent') or name.startswith('series'):
        pair = sorted((_luminance(colour), paper))
        assert (pair[1] + 0.05) / (pair[0] + 0.05) >= least, (name, colour)

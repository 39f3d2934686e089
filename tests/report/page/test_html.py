"""The page as HTML: it loads nothing, all is text, and it can be seen."""

import matplotlib.figure

from rmtl_jax.report.page import content, html, vector
from tests.report.page import reading

HOSTILE = (
  '</title></style><script>alert(1)</script> "\' onload=alert(1) & &amp; a.b=c'
  ' {{ 7 * 7 }} {% include "x" %} {# y #}'
)


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

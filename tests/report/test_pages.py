"""Pages load nothing and show all words as text; tables fit a terminal."""

import matplotlib.figure

from rmtl_jax.report import pages
from tests.report import reading

HOSTILE = (
  '</title></style><script>alert(1)</script> "\' onload=alert(1) & &amp; a.b=c'
  ' {{ 7 * 7 }} {% include "x" %} {# y #}'
)


def test_every_word_is_text():
  table = pages.Table((HOSTILE, 'b'), [(HOSTILE, HOSTILE)], 1, HOSTILE)
  figure = matplotlib.figure.Figure(figsize=(1, 1))
  figure.text(0, 0, HOSTILE)
  picture = pages.picture(figure, HOSTILE, HOSTILE)
  assert '<script' not in picture.svg
  sections = [
    pages.Section('lead', [HOSTILE]),
    pages.Section(HOSTILE, [HOSTILE], [picture], [table]),
  ]
  text = pages.html(pages.Page(HOSTILE, [HOSTILE], [HOSTILE], sections))
  reading.assert_closed(text)
  found = reading.Reader(text)
  assert found.headings == [(1, HOSTILE), (2, HOSTILE)]
  assert found.tables[HOSTILE] == [list(table.header), *map(list, table.rows)]
  assert found.pictures == [HOSTILE]
  # Page title twice, headline, warning, 2 lines, heading, captions of the
  # picture and of the table, and 3 cells.
  assert found.text.count(HOSTILE) == 2 + 1 + 1 + 2 + 1 + 1 + 1 + 3


def test_control_characters_are_shown():
  page = pages.Page('bell\x07 and \ud800', [], [], [])
  assert 'bell\\x07 and \\ud800' in pages.html(page)


def test_wide_tables_are_parted_and_cells_are_plain():
  header = ('name', *(f'task: metric {i}' for i in range(12)))
  rows = [('[bold]x[/bold] :tada:', *(f'0.{i:04}' for i in range(12)))]
  text = pages.text(pages.Table(header, rows, title='t'))
  assert max(map(len, text.splitlines())) <= 80
  assert text.count('[bold]x') > 1
  for i in range(12):
    assert f'0.{i:04}' in text

"""Tables and pages: cells of text, for a terminal and as one HTML file.

Code that fills them escapes nothing; the renderers here escape everything,
because names of tasks and fields, paths and warnings may come from anybody.
"""

from __future__ import annotations

import base64
import io
import warnings
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jinja2
import markupsafe
import matplotlib
import matplotlib.figure
import rich.box
import rich.console
import rich.measure
import rich.table

from rmtl_jax import terminal, types

NOTHING = '-'  # in a cell without a value
# Characters of a name in a legend.
_LONGEST = 24
# Okabe and Ito's palette: told apart by most colour-blind readers.
COLOURS = ('#0072B2', '#D55E00', '#009E73', '#CC79A7', '#E69F00', '#56B4E9')
GREY = '#767676'


class Table(NamedTuple):
  """A table of text cells.

  Attributes:
    header: names of the columns; a terminal breaks them after a colon.
    rows: as many cells as columns each.
    names: number of columns on the left that contain names, not numbers.
    title: above the table.
  """

  header: tuple[str, ...]
  rows: list[tuple[str, ...]]
  names: int = 1
  title: str = ''


class Picture(NamedTuple):
  """An SVG picture.

  Attributes:
    title: a few words.
    alt: a description for screen readers.
    svg: from `picture`.
  """

  title: str
  alt: str
  svg: str

  @property
  def url(self) -> str:
    """The picture as a data URL, which a browser can't run."""
    data = base64.b64encode(self.svg.encode()).decode()
    return f'data:image/svg+xml;base64,{data}'


class Section(NamedTuple):
  """A chapter: sentences, then pictures, then tables."""

  title: str
  lines: Sequence[str] = ()
  pictures: Sequence[Picture] = ()
  tables: Sequence[Table] = ()


class Page(NamedTuple):
  """A report.

  Attributes:
    title: of the page.
    headlines: the main result.
    warnings: about the figures.
    sections: the chapters; the first has no heading.
  """

  title: str
  headlines: Sequence[str]
  warnings: Sequence[str]
  sections: Sequence[Section]


def number(value: float | None, spec: str, undefined: str = NOTHING) -> str:
  """Formats a number for a cell.

  Args:
    value: None where the rows don't define it.
    spec: a format specification, as '.4f'.
    undefined: the text for None.
  """
  return undefined if value is None else format(value, spec)


def interval(
  value: float | None,
  bounds: Sequence[float] | None,
  spec: str,
  undefined: str = 'undefined',
) -> str:
  """Formats '0.7123 (0.7001 to 0.7245)', or the value if it has no bounds."""
  if value is None or not bounds:
    return number(value, spec, undefined)
  return f'{value:{spec}} ({bounds[0]:{spec}} to {bounds[1]:{spec}})'


def rich_table(
  table: Table, caption: str | None = None, name_width: int = 36
) -> rich.table.Table:
  """A table for a terminal or a notebook; text is folded, numbers are not."""
  made = rich.table.Table(
    title=table.title or None,
    caption=caption,
    box=rich.box.SIMPLE_HEAD,
    title_justify='left',
    caption_justify='left',
    show_edge=False,
    padding=(0, 1 if name_width > 16 else 0, 0, 0),
  )
  for i, name in enumerate(table.header):
    is_name = i < table.names
    made.add_column(
      name.replace(': ', ':\n'),
      justify='left' if is_name else 'right',
      no_wrap=not is_name,
      overflow='fold',
      max_width=name_width if is_name else None,
      vertical='top',
    )
  for row in table.rows:
    made.add_row(*row)
  return made


def width(table: rich.table.Table) -> int:
  """Columns of the terminal that a table takes without more folding."""
  console = _console(io.StringIO(), 10_000)
  return rich.measure.Measurement.get(console, console.options, table).maximum


def text(table: Table | rich.table.Table) -> str:
  """Renders a table in 80 columns, in several parts where it is too wide."""
  if isinstance(table, Table):
    return '\n'.join(map(text, _parts(table)))
  buffer = io.StringIO()
  _console(buffer, terminal.COLUMNS).print(table)
  lines = (line.rstrip() for line in buffer.getvalue().splitlines())
  return '\n'.join(lines).strip('\n') + '\n'


def _parts(table: Table) -> Iterator[rich.table.Table]:
  """The table with as many columns of numbers at a time as have room."""
  names, count = table.names, len(table.header)
  for last in range(count, min(names, count - 1), -1):
    part = _columns(table, range(last))
    for name_width in (36, 24, 16):
      made = rich_table(part, name_width=name_width)
      if width(made) <= terminal.COLUMNS or last <= names + 1:
        yield made
        if last < count:
          rest = _columns(table, (*range(names), *range(last, count)))
          yield from _parts(rest._replace(title=''))
        return


def _columns(table: Table, places: Sequence[int]) -> Table:
  header, *rows = (
    tuple(row[i] for i in places) for row in (table.header, *table.rows)
  )
  return table._replace(header=header, rows=rows)


def _console(file: io.StringIO, columns: int) -> rich.console.Console:
  # Cells may come from data: [brackets] are no markup, `:tada:` is no emoji.
  return rich.console.Console(
    file=file, width=columns, force_jupyter=False, markup=False, emoji=False
  )


def wrapped(sentence: str) -> str:
  """A sentence in lines that fit a terminal; paths and names stay whole."""
  return terminal.filled(sentence, rest='')


def text_of_paths(**paths: object) -> str:
  """Lists files that were written, one per line."""
  return '\n'.join(f'{name}: {path}' for name, path in paths.items())


def html(page: Page) -> str:
  """Renders a page as one HTML file: no script, no network, no other file."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('rmtl_jax.report', ''),
    autoescape=True,
    finalize=_one_line,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
  )
  return environment.get_template('report.html.jinja').render(page=page)


def _one_line(value: object) -> str:
  """Makes one line of characters that can be shown of every expression."""
  if isinstance(value, markupsafe.Markup):  # of a macro
    return value
  return types.one_line(value)


def style():
  """Style of figures with names from data; a context manager and decorator."""
  return matplotlib.rc_context(
    {
      'text.parse_math': False,
      # Text stays text: a browser has letters that Matplotlib's font lacks.
      'svg.fonttype': 'none',
      # Otherwise identifiers are random and no two files are alike.
      'svg.hashsalt': 'rmtl',
    }
  )


def picture(figure: matplotlib.figure.Figure, title: str, alt: str) -> Picture:
  """A figure for a page."""
  buffer = io.BytesIO()
  with warnings.catch_warnings():
    # Names may be of any script; a letter that no font has is shown as a box.
    warnings.filterwarnings('ignore', 'Glyph .* missing')
    figure.savefig(buffer, format='svg', metadata={'Date': None})
  return Picture(title, alt, buffer.getvalue().decode())


def legend(name: str) -> str:
  """A label of Matplotlib's, which leaves those with a leading `_` out."""
  short = name if len(name) <= _LONGEST else f'{name[: _LONGEST - 1]}…'
  return f' {short}' if short.startswith('_') else short

"""What `rmtl init` shows: a schema's columns, each with its reason."""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Sequence

from rmtl_jax.preparation.guess import guess as guess_lib
from rmtl_jax.preparation.guess import schema_names
from rmtl_jax.report import tables
from rmtl_jax.report.page import content

_HEADER = ('column', 'guess', 'values', 'distinct', 'missing', 'why')


def text(found: guess_lib.Guess) -> str:
  """A line per column, for a terminal; reasons are folded."""
  hidden = {'values'}
  if all(not one.missing for one in found.columns):
    hidden.add('missing')
  shown = [i for i, name in enumerate(_HEADER) if name not in hidden]
  cells = [tuple(row[i] for i in shown) for row in (_HEADER, *_rows(found))]
  table = content.Table(cells[0], cells[1:], len(shown))
  return tables.plain(table, _read(found), ('distinct', 'missing'))


def page(found: guess_lib.Guess, schema: pathlib.Path) -> content.Page:
  """The same as a page, with the commands that come next."""
  columns = content.Table(_HEADER, _rows(found), len(_HEADER))
  lines = [(' '.join(parts),) for parts in commands(found, schema)]
  return content.Page(
    f'Guessed schema {schema.name}',
    [
      content.Text(f'{_read(found)}. Read it before you use it.'),
      content.Grid('Columns, in the order of the log', columns, ('column',)),
      *([content.Items(found.notes)] if found.notes else []),
      content.Grid('Next', content.Table(('command',), lines, 1), ('command',)),
    ],
    [],
  )


def commands(found: guess_lib.Guess, schema: pathlib.Path) -> list[list[str]]:
  """The command lines to go on with, in parts that may stand on a line each."""
  stem = found.log.resolve().name.split('.')[0]
  name = schema_names.unique([stem])[stem]
  return [
    [
      'rmtl prepare --source=table',
      f'--raw_dir={shlex.quote(str(found.log))}',
      f'--schema={shlex.quote(str(schema))}',
      f'--data_dir=data/{name}',
      *(['--any_dates'] if found.any_dates else []),
      *(
        [f'--split_column={shlex.quote(found.split_column)}']
        if found.split_column
        else []
      ),
    ],
    [f'rmtl describe data/{name}'],
    [
      'rmtl train',
      f'--data_dir=data/{name}',
      f'--workdir=runs/{name}',
    ],
  ]


def shell_lines(parts: Sequence[str], width: int) -> str:
  """A command line, continued below where it is too wide.

  >>> print(shell_lines(['rmtl train', '--data_dir=d', '--workdir=run'], 26))
  rmtl train --data_dir=d \\
    --workdir=run
  """
  lines = [parts[0]]
  for part in parts[1:]:
    if len(lines[-1]) + len(part) + 3 <= width:
      lines[-1] += f' {part}'
    else:
      lines.append(f'  {part}')
  return ' \\\n'.join(lines)


def _read(found: guess_lib.Guess) -> str:
  """What was read, in words."""
  if found.is_whole:
    return f'{found.log}: all {found.rows:,} rows'
  return (
    f'{found.log}: {found.rows:,} of about {found.log_rows:,} rows, from all'
    ' over it'
  )


def _rows(found: guess_lib.Guess) -> list[tuple[str, ...]]:
  return [
    (
      one.name,
      one.role,
      one.kind,
      f'{one.distinct:,}',
      content.number(one.missing or None, '.1%'),
      one.why,
    )
    for one in found.columns
  ]

"""`rmtl init`: a raw log to a schema, with a reason for every column."""

from __future__ import annotations

import json
import pathlib
import shlex
import textwrap
from collections.abc import Sequence
from typing import Any

from absl import flags

from rmtl_jax import durable, terminal, types
from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string(
    'raw_dir',
    '',
    'LOG: a CSV or Parquet file, or a directory of such; `rmtl init LOG` does'
    ' the same.',
  )
  flag.string(
    'output',
    'schema.json',
    'The schema file; the reasons are written next to it, as schema.md.',
  )
  flag.string(
    'delimiter',
    '',
    "Between a CSV file's values; if not given, what parts its header.",
  )
  flag.multi_string(
    'label',
    [],
    'A column that is a label, whatever its name. Once for each; if not given,'
    ' labels are guessed.',
  )
  flag.integer(
    'rows',
    100_000,
    'Rows to read, about.',
    lower_bound=1000,
    upper_bound=10**8,
  )
  flag.boolean('overwrite', False, 'Replace a schema that is there already.')


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'raw_dir', 'output')
  schema = pathlib.Path(values.output)
  reasons = _reasons(schema, values.overwrite)
  delimiter = values.delimiter
  if delimiter and (len(delimiter) > 1 or delimiter in '"\r\n'):
    raise types.InputError(f'--delimiter: {delimiter!r} is not one character')
  from rmtl_jax.preparation.guess import guess
  from rmtl_jax.preparation.guess import sample as sample_lib

  log = pathlib.Path(values.raw_dir)
  sample = sample_lib.read(log, values.rows, delimiter)
  found = guess.guess(sample, tuple(dict.fromkeys(values.label)))
  part = 'all' if found.is_whole else 'a sample of'
  print(f'{log}: {part} {found.rows:,} rows\n{_table(found.columns)}')
  for note in found.notes:
    print(textwrap.fill(f'Note: {note}.', terminal.COLUMNS))
  if found.problem:
    raise types.InputError(f'{log}: {found.problem}')
  rows = '\n'.join(
    f'| `{one.name}` | {one.role} | {one.why} |' for one in found.columns
  )
  page = f'# {schema.name}\n\n| column | guess | why |\n|---|---|---|\n{rows}\n'
  text = json.dumps(found.schema, indent=2, ensure_ascii=False) + '\n'
  durable.write_all({reasons: page.encode(), schema: text.encode()})
  print(f'\nschema: {schema}\nreasons: {reasons}\n\nNext:')
  for line in _commands(log, schema):
    print(line)
  return 0


def _table(columns: Sequence[Any]) -> str:
  """A line per column, its reason folded."""
  names = max(map(len, ['column', *(one.name[:30] for one in columns)]))
  left = names + 23
  lines = [f'{"column":<{names}}  {"guess":<9} {"distinct":>9}  why']
  for one in columns:
    why = textwrap.wrap(one.why, max(terminal.COLUMNS - left, 30)) or ['']
    missing = f'{one.missing:.1%} missing; ' if one.missing else ''
    why = textwrap.wrap(missing + one.why, max(terminal.COLUMNS - left, 30))
    lines.append(
      f'{one.name[:30]:<{names}}  {one.role:<9} {one.distinct:>9,}  {why[0]}'
    )
    lines += [' ' * left + part for part in why[1:]]
  return '\n'.join(lines)


def _commands(log: pathlib.Path, schema: pathlib.Path) -> list[str]:
  """The command lines that come next."""
  from rmtl_jax.preparation.schema import part

  name = part.plain(log.resolve().name.split('.')[0])
  rmtl = common.program()
  return [
    f'{rmtl} prepare --source=table \\',
    f'  --raw_dir={shlex.quote(str(log))} \\',
    f'  --schema={shlex.quote(str(schema))} \\',
    f'  --data_dir=data/{name}',
    f'{rmtl} describe data/{name}',
    f'{rmtl} train --data_dir=data/{name} --workdir=runs/{name}',
  ]


def _reasons(schema: pathlib.Path, overwrite: bool) -> pathlib.Path:
  """Path of the reasons, next to the schema."""
  if schema == pathlib.Path('-'):
    raise types.InputError(
      "--output: '-': the reasons go next to the schema; expected the name of a"
      ' file, such as schema.json'
    )
  if schema.suffix == '.md':
    raise types.InputError(
      f'--output: {schema}: the reasons get this ending; expected .json'
    )
  if not schema.parent.is_dir():
    raise types.InputError(f'--output: {schema.parent}: is no directory')
  # A name such as '.' takes no other ending.
  if schema.is_dir():
    raise types.InputError(f'--output: {schema}: is a directory')
  reasons = schema.with_suffix('.md')
  if reasons.is_dir():
    raise types.InputError(f'--output: {reasons}: is a directory')
  for path in (schema, reasons):
    if path.exists() and not overwrite:
      raise types.InputError(
        f'--output: {path}: exists; --overwrite replaces it'
      )
  return reasons

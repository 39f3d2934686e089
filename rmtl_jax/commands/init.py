"""`rmtl init`: a raw log to a schema, with a reason for every column."""

from __future__ import annotations

import pathlib

from absl import flags

from rmtl_jax import durable, terminal, types
from rmtl_jax.commands import common


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  flag.string(
    'raw_dir',
    '',
    'LOG: a CSV or Parquet file, or a directory of such; `rmtl init LOG` says'
    ' the same.',
  )
  flag.string(
    'output',
    'schema.json',
    'Where the schema goes; the reasons go beside it, as schema.md.',
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
    'Rows to read, about, from all over the log; all of them, if not given, of'
    ' a small log that may be a panel of years.',
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
  from rmtl_jax.preparation.guess import guess as guess_lib
  from rmtl_jax.preparation.guess import writing
  from rmtl_jax.report import guessed, tables
  from rmtl_jax.report.page import markdown

  found = guess_lib.guess(
    values.raw_dir,
    values.rows,
    delimiter,
    tuple(dict.fromkeys(values.label)),
  )
  print(guessed.text(found))
  if found.problem:
    raise types.InputError(found.problem)
  page = markdown.render(guessed.page(found, schema))
  durable.write_all(
    {reasons: page.encode(), schema: writing.text(found.schema).encode()}
  )
  for note in found.notes:
    print(tables.wrapped(note))
  print(f'\n{tables.text_of_paths(schema=schema, reasons=reasons)}\n\nNext:')
  for parts in guessed.commands(found, schema):
    print(guessed.shell_lines(parts, terminal.COLUMNS))
  return 0


def _reasons(schema: pathlib.Path, overwrite: bool) -> pathlib.Path:
  """The path of the reasons, beside the schema's."""
  if schema == pathlib.Path('-'):
    raise types.InputError(
      "--output: '-': the reasons go beside the schema; expected the name of a"
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

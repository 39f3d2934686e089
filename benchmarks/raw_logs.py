"""What modules of public data sets as logs share.

They are `r_logs`, `more_r_logs` and `plain_tables`: a docstring that says what
the logs are, the logs and one call of `run`.
"""

from __future__ import annotations

import functools
import json
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import duckdb
from absl import app, flags

from rmtl_jax import types
from rmtl_jax.preparation import sql

# The flags are those of the module that runs, and its --help shows them.
flags.disclaim_key_flags()


class Log(NamedTuple):
  """How a data set becomes a log.

  Attributes:
    rows: SQL of its columns, from the table `input`.
    schema: of `rmtl prepare --source=table`; empty where `rmtl init` guesses
      it.
  """

  rows: str
  schema: dict[str, Any]


def levels(first: str, second: str) -> list[dict[str, str]]:
  """Two tasks, the second of which implies the first."""
  return [
    {'name': first, 'column': first},
    {'name': second, 'column': second, 'after': first},
  ]


def separate(*names: str) -> list[dict[str, str]]:
  """Tasks that don't imply each other."""
  return [{'name': name, 'column': name} for name in names]


def partly_observed(*names: str) -> list[dict[str, str]]:
  """Tasks that don't imply each other, of labels that may be missing."""
  return [{**task, 'null': 'not_observed'} for task in separate(*names)]


def log1p(name: str) -> dict[str, str]:
  """A numeric column, on a logarithmic scale."""
  return {'column': name, 'transform': 'log1p'}


def iso(name: str) -> dict[str, str]:
  """The time, as it is written."""
  return {'column': name, 'unit': 'iso'}


def brands(
  names: Sequence[str],
  household: str = 'id',
  choice: str = 'choice',
  **offers: str,
) -> Log:
  """A row for each brand of an occasion.

  Args:
    names: of the brands; their prices are the columns `price.<name>`.
    household: column of who took one.
    choice: column of the brand that they took.
    **offers: further columns of the log, by what comes before `.<name>` in
      those of the input.
  """

  def offered(brand: str) -> str:
    return ''.join(
      f'"{its}.{brand}" AS {column}, ' for column, its in offers.items()
    )

  parts = ' UNION ALL '.join(
    f"""
    SELECT rownames AS occasion, "{household}" AS household, '{one}' AS brand,
      "price.{one}"::DOUBLE AS price, {offered(one)}
      ("{choice}" = '{one}')::INTEGER AS chosen
    FROM input
    """
    for one in names
  )
  return Log(
    f'SELECT * FROM ({parts}) ORDER BY occasion::INTEGER, brand',
    {
      'session': 'occasion',
      'user': 'household',
      'item': 'brand',
      'categorical': ['household', 'brand', *offers],
      'numeric': ['price'],
      'tasks': separate('chosen'),
    },
  )


def write(
  name: str, log: Log, source: pathlib.Path, output: pathlib.Path
) -> int:
  """Writes `<name>.csv`, and `schema.json` if there is a schema.

  Args:
    name: of the log.
    log: its rows and its schema.
    source: the CSV file.
    output: directory, made if it is not there.

  Returns:
    How many rows.

  Raises:
    types.InputError: the file is missing, or is not what it should be.
  """
  path = output / f'{name}.csv'
  output.mkdir(parents=True, exist_ok=True)
  try:
    with duckdb.connect() as connection:
      # As texts, so that numbers and times stay as they are written.
      connection.execute(
        'CREATE TABLE input AS SELECT * FROM read_csv('
        # One of them ends its lines in two ways, which is not strict.
        f"{sql.literal(str(source))}, header = true, nullstr = ['', 'NA'],"
        ' all_varchar = true, strict_mode = false)'
      )
      found = connection.execute(
        f'COPY ({log.rows}) TO {sql.literal(str(path))} (HEADER)'
      ).fetchone()
  except duckdb.Error as error:
    line = str(error).partition('\n')[0]
    raise types.InputError(f'{source}: {line}') from error
  if log.schema:
    text = json.dumps(log.schema, indent=2) + '\n'
    (output / 'schema.json').write_text(text)
  return found[0] if found else 0


def main(logs: Mapping[str, Log], argv: list[str]) -> None:
  """Writes the files and says how many rows there are."""
  values = flags.FLAGS
  try:
    rows = write(
      values.log,
      logs[values.log],
      pathlib.Path(values.input),
      pathlib.Path(values.output),
    )
  except types.InputError as error:
    print(f'{pathlib.Path(argv[0]).stem}: {error}', file=sys.stderr)
    sys.exit(2)
  print(f'{values.output}/{values.log}.csv: {rows:,} rows')


def define_flags(logs: Mapping[str, Log]) -> None:
  """Defines the flags; not on import, since tests import such modules."""
  flags.DEFINE_enum('log', None, list(logs), 'Which.', required=True)
  flags.DEFINE_string('input', None, 'Its CSV file.', required=True)
  flags.DEFINE_string('output', None, 'Directory to write.', required=True)


def run(logs: Mapping[str, Log]) -> None:
  """The command of a module that has these logs."""
  define_flags(logs)
  app.run(functools.partial(main, logs))

"""Logs of tiny inputs: written, read back, and prepared."""

import json

import duckdb

import rmtl_jax
from benchmarks import raw_logs
from rmtl_jax.config import prepare as prepare_config


def written(logs, inputs, name, directory):
  """The log of an input, and how many rows it has."""
  header, rows = inputs[name]
  source = directory / f'{name}_input.csv'
  source.write_text(header + '\n'.join(rows) + '\n')
  count = raw_logs.write(name, logs[name], source, directory / name)
  return directory / name / f'{name}.csv', count


def read(path, query):
  """The rows of a query, in which the log is `{path}`."""
  with duckdb.connect() as connection:
    return connection.execute(query.format(path=path)).fetchall()


def check_prepare_takes(path, count, data_dir):
  """Every row is prepared, for the tasks of the schema beside it."""
  schema = json.loads((path.parent / 'schema.json').read_text())
  manifest = rmtl_jax.prepare(
    prepare_config.PrepareConfig(
      source='table',
      raw_dir=str(path),
      schema=str(path.parent / 'schema.json'),
      data_dir=str(data_dir),
      any_dates=True,  # of years ago
    )
  )
  kept = sum(one.rows for one in manifest.splits.values())
  assert kept == count
  assert list(manifest.task_names) == [t['name'] for t in schema['tasks']]

"""Data that is prepared at once, with the ids and bins of extended data."""

from __future__ import annotations

import contextlib
import dataclasses
import pathlib
from unittest import mock

import pyarrow.parquet as pq

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import (
  fit,
  lists,
  numbers,
  prepare_log,
  ranks,
  sessionize,
  sql,
  time_window,
  vocabulary,
)
from rmtl_jax.preparation.as_of import as_of_features, rates, tastes


def read(
  data_dir: pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> list[dict]:
  """Rows of a split, in order; None for a missing number."""
  return [
    {key: None if value != value else value for key, value in row.items()}
    for name in manifest.splits[split].files
    for row in pq.read_table(data_dir / name, partitioning=None).to_pylist()
  ]


def prepare_at_once(
  config: prepare_settings.PrepareConfig, extended: pathlib.Path
) -> manifest_lib.Manifest:
  """Prepares a whole log with the boundaries of extended data.

  Args:
    config: reads the whole log.
    extended: whose vocabularies, bins and scales it gets.
  """
  like = manifest_file.read(extended)
  with _fitted_as(extended, like):
    return prepare_log.prepare(
      dataclasses.replace(
        config,
        split_dates=tuple(
          time_window.shown(like.splits[name].end_ms or 0)
          for name in ('train', 'validation')
        ),
        as_of=tuple(like.options.get('as_of', ('none',))),
      )
    )


@contextlib.contextmanager
def _fitted_as(extended: pathlib.Path, like: manifest_lib.Manifest):
  """Replaces everything that is fitted by what extended data has."""
  fields = {field.name: field for field in like.fields}
  build = vocabulary.build_categorical
  encode_lists = lists.encode_lists
  encode_sequences = lists.encode_sequences

  def vocabulary_of(connection, name, keys):
    table = sql.unique_name('known')
    path = extended / 'vocabulary' / f'{name}.parquet'
    with sql.scan_file(path, 'parquet', 'file_row_number = true') as scan:
      connection.execute(
        # Sequences have values that no row has.
        f'CREATE TABLE {table} AS SELECT key, value, count,'
        f' CAST(file_row_number AS INTEGER) AS id FROM {scan} LEFT JOIN'
        f' (SELECT DISTINCT key, {sql.value_text("key")} AS value'
        f'  FROM ({keys})) USING (value)'
      )
    return vocabulary.Vocabulary(table, fields[name].size, 0)

  def categorical(connection, rows, min_counts):
    left_out = {c: 1 for c in min_counts if c.removeprefix('f_') not in fields}
    # A view that joins several tables, which every column would read anew.
    held = sql.create_table(
      connection, f'SELECT {sql.quote_all(min_counts)} FROM {rows}'
    )
    return build(connection, rows, left_out) | {
      column: vocabulary_of(
        connection,
        column.removeprefix('f_'),
        f'SELECT {sql.quote(column)} AS key FROM {held}',
      )
      for column in min_counts
      if column not in left_out
    }

  def multi_valued(connection, rows, column, build, max_values, width):
    del build, width
    name = column.removeprefix('m_')
    return encode_lists(
      connection,
      rows,
      column,
      lambda counts: vocabulary_of(
        connection, name, f'SELECT key FROM ({counts})'
      ),
      max_values,
      fields[name].width,
    )

  def sequences(connection, rows, column, values, max_values, width):
    width = fields[column.removeprefix('m_')].width
    return encode_sequences(connection, rows, column, values, width, width)

  def edges(connection, rows, binned):
    del connection, rows
    # Some were left out, as they had one value over the first train rows.
    return {
      f.name: fields[f.name].details['edges'] if f.name in fields else []
      for f in binned
    }

  def scales(connection, rows, columns):
    del connection, rows
    found = {f.column: f.details for f in like.fields}
    return {c: numbers.Normalisation.of(found[c]) for c in columns}

  def train_rates(connection, keyed, tasks, is_train):
    del connection, keyed, is_train
    known = {
      f.details['task']: f.details['train_rate']
      for f in like.fields
      if 'train_rate' in f.details
    }
    return tuple(known.get(task.name, 0.0) for task in tasks)

  def with_edges(connection, rows, places):
    del connection, places
    return ranks.declare(rows, like.options.get(ranks.OPTION, {}))

  with (
    mock.patch.object(vocabulary, 'build_categorical', categorical),
    mock.patch.object(lists, 'encode_lists', multi_valued),
    mock.patch.object(lists, 'encode_sequences', sequences),
    mock.patch.object(numbers, 'fit_bin_edges', edges),
    mock.patch.object(numbers, 'fit_normalisations', scales),
    mock.patch.object(rates, 'train_rates', train_rates),
    mock.patch.object(as_of_features, 'with_edges', with_edges),
    mock.patch.object(
      tastes, 'find', lambda *args: tastes.recorded(like.fields)
    ),
    # All rows are fitted on, so that every value of theirs is looked up.
    mock.patch.object(sessionize.RowPlaces, 'is_train', lambda self: 'true'),
    mock.patch.object(fit, 'constant', lambda *args: ()),
  ):
    yield

"""Readers of raw logs, by name; `register_source` adds one's own."""

from __future__ import annotations

import difflib
import importlib
import pathlib

import duckdb

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import source


def _lazy(module: str) -> source.Reader:
  """A reader that is imported when it is called."""

  def read(
    connection: duckdb.DuckDBPyConnection,
    raw_dir: pathlib.Path,
    options: prepare_config.PrepareConfig,
  ) -> source.SourceTable:
    found = importlib.import_module(f'rmtl_jax.data.sources.{module}')
    return found.read(connection, raw_dir, options)

  return read


SOURCES: dict[str, source.Reader] = {
  'retailrocket': _lazy('retailrocket'),
  'rees46': _lazy('rees46'),
  'kuairand': _lazy('kuairand'),
  'table': _lazy('table'),
  'simulated': _lazy('simulation'),
}


def register_source(name: str, reader: source.Reader) -> None:
  """Adds a reader; its contract stands in `rmtl_jax.data.source`.

  Raises:
    ValueError: the name is taken.
  """
  if name in SOURCES:
    raise ValueError(f'source {name!r} is taken')
  SOURCES[name] = reader


def find(name: str) -> source.Reader:
  """The reader of that name.

  Raises:
    types.InputError: no such reader; near matches are listed.
  """
  if name not in SOURCES:
    near = difflib.get_close_matches(name, SOURCES, n=1)
    hint = f' (did you mean {near[0]}?)' if near else ''
    raise types.InputError(
      f'source: {name!r} is not one of {", ".join(SOURCES)}{hint}'
    )
  return SOURCES[name]

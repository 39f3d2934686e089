"""The Spark job, in local mode, beside `rmtl prepare` on the same tables."""

from __future__ import annotations

import functools
import json
import random
import re
import shutil
import subprocess

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rmtl_jax import cli, types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import prepare as prepare_lib
from rmtl_jax.preparation.contract import rules as contract
from tests.preparation import raw_files


def _without() -> str:
  """Why the job can't run here; empty if it can."""
  java = shutil.which('java')
  if java is None:
    return 'needs Java 17 or newer, found none'
  told = subprocess.run([java, '-version'], capture_output=True, text=True)
  version = re.search(r'version "(\d+)', told.stderr)
  if version is None or int(version.group(1)) < 17:
    return f'needs Java 17 or newer, found {told.stderr.splitlines()[:1]}'
  return ''


@pytest.fixture(scope='module')
def spark(tmp_path_factory):
  # First: starting Java to ask for its version takes longer.
  reason = 'needs pyspark, of the extra spark'
  sql = pytest.importorskip('pyspark.sql', reason=reason)
  if why := _without():
    pytest.skip(why)
  session = (
    sql.SparkSession.builder.master('local[1]')
    .config('spark.ui.enabled', 'false')
    .config('spark.sql.shuffle.partitions', '2')
    # Compiling what runs for milliseconds would take most of the time.
    .config('spark.sql.codegen.wholeStage', 'false')
    .config('spark.sql.codegen.factoryMode', 'NO_CODEGEN')
    .config('spark.driver.host', '127.0.0.1')
    .config('spark.driver.bindAddress', '127.0.0.1')
    .config('spark.driver.memory', '1g')
    .config('spark.sql.warehouse.dir', str(tmp_path_factory.mktemp('spark')))
    .getOrCreate()
  )
  session.sparkContext.setLogLevel('ERROR')
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
    'kind',
    'home',
  ],
  'multi_valued': [{'column': 'tags', 'separator': '|'}],
  'numeric': [
    'price',
    {'column': 'stock', 'transform': 'log1p'},
    {'column': 'age', 'transform': 'bins', 'bins': 5},
  ],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}


def log(rows: int = 600) -> pa.Table:
  """Rows out of order, with ties of time, duplicates and missing values."""
  draw = random.Random(0)
  names = ['paris', 'São Paulo', 'a "b", c', 'ünï', '']
  records = []
  for i in range(rows):
    click = int(draw.random() < 0.4)
    user, item = draw.randrange(40), min(draw.randrange(30), draw.randrange(30))
    records.append(
      {
        'visit': f'v{draw.randrange(120)}' if draw.random() < 0.7 else None,
        'user': user,
        'item': f'i{item}',
        'kind': item % 4,
        'home': f'h{user % 6}',
        'a place': draw.choice(names),
        'tags': '|'.join(draw.sample(['a', ' b', 'c.', 'd', ''], k=i % 5)),
        'price': None if i % 11 == 0 else round(draw.gauss(10, 3), 3),
        'stock': float(draw.randrange(100)),
        'age': None if i % 7 == 0 else draw.randrange(60),
        'at': 1_700_000_000 + 20 * draw.randrange(20_000),
        'clicked': click,
        'bought': int(click and draw.random() < 0.5),
        'liked': None if i % 9 == 0 else i % 2,
        'note': i % 3,
      }
    )
  # Some sessions by id run from split to split, so that rows are dropped.
  for i in range(0, rows, 50):
    records[i]['visit'] = 'long'
  records += [dict(records[3]), dict(records[70]), records[3] | {'note': 9}]
  draw.shuffle(records)
  return pa.Table.from_pylist(records)


def write(path, form: str, table: pa.Table) -> None:
  """The table in two files."""
  path.mkdir()
  half = len(table) // 2
  for name, part in (('a', table[:half]), ('b', table[half:])):
    if form == 'csv':
      pa_csv.write_csv(part, path / f'{name}.csv')
    else:
      pq.write_table(part, path / f'{name}.parquet', row_group_size=100)


@pytest.fixture(scope='module')
def made(spark, tmp_path_factory):
  """Gives a case's directory, and the manifests of both engines."""
  from experiments.spark import prepare_job

  @functools.cache
  def make(case):
    form, changes, options = CASES[case]
    path = tmp_path_factory.mktemp('case')
    write(path / 'raw', form, log())
    schema = raw_files.write_schema(path / 'schema.json', SCHEMA | changes)

    def config(engine):
      return prepare_config.PrepareConfig(
        source='table',
        raw_dir=str(path / 'raw'),
        schema=schema,
        data_dir=str(path / engine),
        rows_per_file=200,
        max_values=3,
        any_dates=True,
        # Spark makes no as-of features, whatever the log supports.
        as_of=('none' if engine == 'duckdb' else 'auto',),
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
CASES = {
  'parquet, users by idle time': ('parquet', {}, {}),
  'csv, sessions by id where there is one': (
    'csv',
    {'session': 'visit'},
    {'min_count': 1},
  ),
  'parquet, text users, late labels': (
    'parquet',
    {'user': 'item', 'tasks': LATE},
    {'idle_minutes': 5.0},
  ),
}


@pytest.mark.parametrize('case', CASES)
def test_same_data_as_prepare(made, case):
  path, ours, theirs = made(case)
  assert contract.check(path / 'spark').warnings == ()
  assert [(f.name, f.kind, f.size, f.width) for f in theirs.fields] == [
    (f.name, f.kind, f.size, f.width) for f in ours.fields
  ]
  for one, other in zip(ours.fields, theirs.fields, strict=True):
    assert set(one.details) == set(other.details)
    for name, value in one.details.items():
      if name in ('mean', 'deviation', 'edges'):
        value = pytest.approx(value, rel=1e-9)
      assert other.details[name] == value
  told = {f.name: f.details.get('side', '') for f in theirs.fields}
  if ours.user_field == 'user':
    assert (told['kind'], told['home'], told['place']) == ('item', 'user', '')
  for name in manifest_lib.SPLITS:
    assert ours.splits[name].rows > 50
    expected = rows_of(path / 'duckdb', ours, name)
    found = rows_of(path / 'spark', theirs, name)
    for row in (*expected, *found):
      row['numbers'] = [row.pop('x_price'), row.pop('x_stock')]
    numbers = [row.pop('numbers') for row in expected]
    assert [row.pop('numbers') for row in found] == [
      pytest.approx(pair, rel=1e-6, abs=1e-6) for pair in numbers
    ]
    assert found == expected
    one, other = ours.splits[name], theirs.splits[name]
    for entry in (
      *('rows', 'sessions', 'positives', 'observed', 'start_ms', 'end_ms'),
    ):
      assert getattr(other, entry) == getattr(one, entry)
  for field in ours.fields:
    if field.kind != 'numeric':
      file = f'vocabulary/{field.name}.parquet'
      one, other = (
        pq.read_table(path / engine / file).to_pylist()
        for engine in ('duckdb', 'spark')
      )
      assert other == one
  assert theirs.options['schema'] == ours.options['schema']
  for entry in ('dropped', 'cut_values', 'raw_rows'):
    assert theirs.report[entry] == ours.report[entry]
  assert ours.report['dropped']['exact duplicate'] == 2
  late = [reason for reason in ours.report['dropped'] if 'not yet' in reason]
  assert len(late) == (2 if 'late labels' in case else 0)
  assert set(map(str, (path / 'spark').iterdir())) == {
    str(path / 'spark' / name)
    for name in ('manifest.json', 'vocabulary', *manifest_lib.SPLITS)
  }


def test_training_takes_it(made, tmp_path):
  path, *_ = made('parquet, users by idle time')
  run = tmp_path / 'run'
  flags = {
    'data_dir': path / 'spark',
    'workdir': run,
    'config.backbone': 'shared_bottom',
    'config.batch.lanes': 4,
    'config.pretrain.max_epochs': 1,
    'config.critic.max_passes': 1,
    'config.finetune.max_epochs': 1,
  }
  line = [f'--{name}={value}' for name, value in flags.items()]
  assert cli.main(['rmtl', 'train', *line]) == 0
  assert json.loads((run / 'metrics.json').read_text())


def test_bad_input_is_one_line_and_leaves_nothing(spark, tmp_path):
  from experiments.spark import prepare_job

  table = log()
  prices = table['price'].cast(pa.string()).to_pylist()
  prices[5] = 'cheap'
  at = table.schema.get_field_index('price')
  table = table.set_column(at, 'price', pa.array(prices))
  write(tmp_path / 'raw', 'csv', table)
  schema = raw_files.write_schema(tmp_path / 'schema.json', SCHEMA)

  def run(**options):
    prepare_job.prepare(
      spark,
      prepare_config.PrepareConfig(
        raw_dir=str(tmp_path / 'raw'),
        schema=schema,
        data_dir=str(tmp_path / 'out'),
        **options,
      ),
    )

  raw_files.fails(tmp_path, run, 'row_id 5', "'price'", "'cheap'", 'a number')
  with pytest.raises(types.InputError, match='makes no as-of features'):
    run(as_of=('gap',))
  raw_files.write_schema(tmp_path / 'schema.json', SCHEMA | {'missing': ['-']})
  with pytest.raises(types.InputError, match='missing: the Spark job'):
    run()

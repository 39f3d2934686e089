"""What the fuzzer makes bad, how it is read, and what whole output is.

A target is a directory of sound files, a command line that reads them, and a
check of what the command leaves where it says that all is well.
"""

from __future__ import annotations

import atexit
import dataclasses
import datetime
import decimal
import functools
import json
import pathlib
import re
import shutil
import tempfile
from collections.abc import Callable, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.serving import predictor
from rmtl_jax.serving.export import writer as export_writer
from tests import tiny
from tests.faults import mutations
from tests.preparation import raw_files
from tests.preparation.sources import test_ali_ccp as ali_ccp
from tests.preparation.sources import test_aliexpress as aliexpress
from tests.preparation.sources import test_census_income as census_income
from tests.preparation.sources import test_criteo_attribution as criteo
from tests.preparation.sources import test_kuairand as kuairand
from tests.preparation.sources import test_movielens as movielens
from tests.preparation.sources import test_rees46 as rees46
from tests.preparation.sources import test_retailrocket as retailrocket
from tests.preparation.sources import test_tenrec as tenrec
from tests.report.comparison import example as comparison_results
from tests.serving import forged, table_run

TINY = (
  '--preset=paper',
  '--config.network.embedding_dim=4',
  '--config.network.bottom_units=8,6',
  '--config.network.tower_units=(6,)',
  '--config.network.num_experts=2',
  '--config.batch.lanes=4',
  '--config.batch.lane_length=8',
  '--config.pretrain.max_epochs=1',
  '--config.evaluation.bootstrap=0',
  '--stage=pretrain',
  '--nocompilation_cache',
)
# What no command may leave where it fails.
FINISHED = re.compile(r'(metrics|test)\.json$|scores')


@dataclasses.dataclass(frozen=True)
class Target:
  """One way into the program.

  Attributes:
    name: of the target; its sound files are BASE/<base>.
    base: which sound files it takes, of `build`.
    patterns: globs of the files that are made bad.
    argv: the command line, given the directory that holds the files.
    check: raises AssertionError unless the directory has whole output.
    share: how often it is tried, relative to the others.
    created: what a command that fails may leave, first parts of paths.
    stdin: the file that is standard input, where one is.
    seal: what is done after a file was made bad, so that more than a digest
      tells.
  """

  name: str
  base: str
  patterns: tuple[str, ...]
  argv: Callable[[pathlib.Path], Sequence[str]]
  check: Callable[[pathlib.Path], None]
  share: int = 1
  created: tuple[str, ...] = ()
  stdin: str = ''
  seal: Callable[[pathlib.Path], None] = lambda directory: None

  def files(self, directory: pathlib.Path) -> list[pathlib.Path]:
    """The files to choose from, in order."""
    return sorted({p for g in self.patterns for p in directory.glob(g)})


@functools.cache
def shared() -> pathlib.Path:
  """Sound files for all tests of the process, which copy them."""
  base = pathlib.Path(tempfile.mkdtemp(prefix='rmtl_jax_faults_'))
  atexit.register(shutil.rmtree, base, ignore_errors=True)
  build(base)
  return base


def build(base: pathlib.Path) -> None:
  """Writes the sound files of all targets."""
  _build_logs(base)
  _build_benchmarks(base)
  _build_tables(base)
  _build_values(base)
  (base / 'run').mkdir()
  run = table_run.train(base / 'run')
  shutil.rmtree(run / 'tensorboard')
  (base / 'export').mkdir()
  raw = table_run.table(60).select(list(table_run.FEATURES))
  pq.write_table(raw, base / 'run' / 'rows.parquet')
  (base / 'run' / 'rows.arrow').write_bytes(mutations.arrow_bytes(raw))
  pa_csv.write_csv(raw, base / 'run' / 'rows.csv')
  raw_files.write(
    base / 'run' / 'rows.csv.gz',
    (base / 'run' / 'rows.csv').read_text().splitlines(),
  )
  export_writer.export(predictor.load(run), base / 'export' / 'model')
  shutil.copy(base / 'run' / 'rows.parquet', base / 'export')
  compared = base / 'comparison' / 'compared'
  compared.mkdir(parents=True)
  tiny.write_prepared(compared)
  results = comparison_results.build()
  results['config'] = config_values.to_dict(config_lib.Config())
  (compared / 'results.json').write_text(json.dumps(results))
  data = base / 'run' / 'data'
  shutil.copytree(data, base / 'data' / 'data')
  configs = base / 'config'
  configs.mkdir()
  shutil.copytree(data, configs / 'data')
  shutil.copy(run / 'config.json', configs / 'mine.json')
  (configs / 'mine.py').write_text(
    'from rmtl_jax import config\n\n\ndef get_config():\n'
    '  network = config.NetworkConfig(dropout=0.1, num_experts=4)\n'
    "  return config.Config(backbone='ple', network=network, seed=9)\n"
  )


def _build_logs(base: pathlib.Path) -> None:
  """The logs of shops and videos, as they are and in gzip."""
  start = retailrocket.START
  events = [
    f'{start + 500 * i},7,{kind},{50 + i % 3},{t}'
    for i, (kind, t) in enumerate(
      [('view', ''), ('addtocart', ''), ('transaction', '33')] * 3
    )
  ]
  shop = base / 'retailrocket' / 'raw'
  raw_files.write(
    shop / 'events.csv',
    [retailrocket.HEADER, *events, *retailrocket.filler()],
  )
  properties = [
    f'{start - 10**7 * i},{item},{name},{value}'
    for i, (item, name, value) in enumerate(
      [(0, 'categoryid', '5'), (1, 'available', '1'), (2, '790', 'n12.0 7')] * 3
    )
  ]
  for name in ('item_properties_part1.csv', 'item_properties_part2.csv.gz'):
    raw_files.write(shop / name, [retailrocket.PROPERTY_HEADER, *properties])
  raw_files.write(
    shop / 'category_tree.csv', ['categoryid,parentid', '5,1', '1,']
  )
  log = [
    rees46.HEADER,
    rees46.event('05:00:00', 'view', 5, code='a.b.c', brand='x'),
    rees46.event('05:01:00', 'cart', 5),
    rees46.event('05:02:00', 'purchase', 5),
    rees46.event('05:03:00', 'remove_from_cart', 5, price=''),
    *rees46.filler(),
  ]
  raw_files.write(base / 'rees46' / 'raw' / '2019-Oct.csv', log, '\r\n')
  raw_files.write(base / 'rees46_gz' / 'raw' / '2019-Oct.csv.gz', log)
  rows = [kuairand.row(i, video=i % 3, click=i % 2) for i in range(6)]
  kuairand.write(
    base / 'kuairand',
    [*rows, *kuairand.filler()],
    users=[kuairand.user(1), kuairand.user(50)],
    videos=[kuairand.video(0), kuairand.video(1, tag='"39,40"')],
  )
  zipped = base / 'kuairand_gz' / 'raw'
  for path in (base / 'kuairand' / 'raw').iterdir():
    raw_files.write(zipped / f'{path.name}.gz', path.read_text().splitlines())


def _build_benchmarks(base: pathlib.Path) -> None:
  """The public benchmarks, as their authors publish them."""
  raw_dir = aliexpress.example(base / 'aliexpress')
  aliexpress.joined(raw_dir, base / 'aliexpress_joined' / 'raw')
  ali_ccp.example(base / 'ali_ccp')
  people = census_income.people(24)
  census_income.write(base / 'census_income', people, people[:8])
  criteo.write(base / 'criteo_attribution', criteo.log())
  tenrec.write(
    base / 'tenrec',
    [f'{line},3,4' + ',0' * 8 for line in tenrec.log()],
    tenrec.HEADER + tenrec.HISTORY,
  )
  for write in (
    movielens.write_100k,
    movielens.write_1m,
    movielens.write_25m,
  ):
    write(base / write.__name__.replace('write', 'movielens'), movielens.log())


def _build_tables(base: pathlib.Path) -> None:
  """A person's own table, in every form that is read, and its schema."""
  schema = {
    'user': 'user',
    'session': 'visit',
    'item': 'item',
    'time': {'column': 'ts', 'unit': 'ms'},
    'categorical': ['user', {'column': 'item', 'name': 'item'}],
    'multi_valued': [{'column': 'tags', 'separator': '|'}],
    'numeric': [
      {'column': 'price', 'transform': 'log1p'},
      {'column': 'age', 'transform': 'bins', 'bins': 3},
      'rest',
    ],
    'tasks': [
      {'name': 'click', 'column': 'clicked', 'known_after_seconds': 1},
      {'name': 'conversion', 'column': 'bought', 'after': 'click'},
    ],
    'delimiter': ',',
  }
  rows = range(24)
  table = pa.table(
    {
      'user': [f'u{i % 3}' for i in rows],
      'visit': [f's{i // 2}' for i in rows],
      'item': [f'i{i % 4}' for i in rows],
      'ts': [i * 10**7 for i in rows],
      'tags': ['|'.join(f't{n}' for n in range(i % 3)) for i in rows],
      'price': [i / 2 for i in rows],
      'age': [i * 7 % 11 for i in rows],
      'rest': [None if i % 5 == 0 else -1.5 * i for i in rows],
      'clicked': [int(i % 2 == 0) for i in rows],
      'bought': [int(i % 4 == 0) for i in rows],
    }
  )
  for name in ('table', 'table_gz', 'table_parquet'):
    raw_files.write_schema(base / name / 'schema.json', schema)
    (base / name / 'raw').mkdir()
  csv = base / 'table' / 'raw' / 'log.csv'
  pa_csv.write_csv(table, csv)
  raw_files.write(
    base / 'table_gz' / 'raw' / 'log.csv.gz', csv.read_text().splitlines()
  )
  pq.write_table(table, base / 'table_parquet' / 'raw' / 'log.parquet')


def _build_values(base: pathlib.Path) -> None:
  """Tables as people have them: local times, words, folders, events."""
  rows = range(30)
  start = datetime.datetime(2024, 5, 1)
  times = [start + datetime.timedelta(hours=i) for i in rows]
  schema = {
    'user': {'column': 'user', 'null': ['-1']},
    'item': 'item',
    'time': {'column': 'at', 'unit': 'iso', 'zone': 'Europe/Berlin'},
    'from_time': ['hour', 'weekday'],
    'categorical': ['user', {'column': 'item', 'null': ['none']}],
    'numeric': [
      {'column': 'price', 'null': ['?']},
      'weight',
    ],
    'tasks': [
      {'column': 'liked', 'positive': ['yes'], 'negative': ['no']},
      {'name': 'buy', 'after': 'liked', 'time_column': {'column': 'bought'}},
    ],
    'missing': ['NULL'],
  }
  values = {
    'user': [f'u{i % 3}' for i in rows],
    'item': [f'i{i % 4}' if i % 7 else 'none' for i in rows],
    'at': [f'{t:%Y-%m-%d %H:%M}' + '+02' * (t.hour % 5 == 0) for t in times],
    'price': ['?' if i % 6 == 0 else f'{i / 2}' for i in rows],
    'weight': [f'${i + 1} {i % 9}00.5' for i in rows],
    'liked': ['yes' if i % 2 else 'no' for i in rows],
    'bought': [f'{t}' if i % 4 == 1 else '' for i, t in enumerate(times)],
  }
  for name in ('values', 'values_zst', 'folders'):
    raw_files.write_schema(base / name / 'schema.json', schema)
    (base / name / 'raw').mkdir()
  csv = base / 'values' / 'raw' / 'log.csv'
  pa_csv.write_csv(
    pa.table(values), csv, pa_csv.WriteOptions(quoting_style='none')
  )
  packed = base / 'values_zst' / 'raw' / 'log.csv.zst'
  with pa.CompressedOutputStream(str(packed), 'zstd') as file:
    file.write(csv.read_bytes())
  typed = pa.table(
    values
    | {
      'at': pa.array(times, pa.timestamp('us')),
      'bought': pa.array(
        [t if i % 4 == 1 else None for i, t in enumerate(times)],
        pa.timestamp('ms', 'UTC'),
      ),
      'item': pa.array(values['item']).dictionary_encode(),
      'price': pa.array([decimal.Decimal(i) / 2 for i in rows]),
    }
  )
  for i, user in enumerate(('u4', 'u5', 'u6')):
    folder = base / 'folders' / 'raw' / f'user={user}'
    folder.mkdir()
    part = typed.slice(10 * i, 10).drop_columns('user')
    pq.write_table(part, folder / 'part-0.parquet')
  _build_events(base)


def _build_events(base: pathlib.Path) -> None:
  """A person's own log of events."""
  kinds = ('view', 'cart', 'view', 'search', 'view', 'buy')
  lines = ['who,item,at,what']
  lines += [f'u{i % 4},i{i % 3},{i * 10**6},{kinds[i % 6]}' for i in range(60)]
  raw_files.write(base / 'events' / 'raw' / 'log.csv', lines)
  raw_files.write_schema(
    base / 'events' / 'schema.json',
    {
      'user': 'who',
      'item': 'item',
      'time': {'column': 'at'},
      'categorical': ['who', 'item'],
      'events': {
        'column': 'what',
        'impressions': ['view'],
        'labels': {'cart': ['cart'], 'buy': ['buy']},
      },
      'tasks': [{'name': 'cart'}, {'name': 'buy', 'after': 'cart'}],
    },
  )


def _prepare(source: str, *more: str) -> Callable[[pathlib.Path], list[str]]:
  def argv(directory: pathlib.Path) -> list[str]:
    schema = [f'--schema={directory}/schema.json'] * (source == 'table')
    return [
      'prepare',
      f'--source={source}',
      f'--raw_dir={directory}/raw',
      f'--data_dir={directory}/out',
      '--min_count=1',
      '--threads=1',
      '--any_dates',
      *schema,
      *more,
    ]

  return argv


def _train(directory: pathlib.Path) -> list[str]:
  data, run = directory / 'data', directory / 'new'
  return ['train', f'--data_dir={data}', f'--workdir={run}', *TINY]


def _evaluate(directory: pathlib.Path) -> list[str]:
  run, data = directory / 'run', directory / 'data'
  return [
    'evaluate',
    f'--workdir={run}',
    f'--data_dir={data}',
    '--nocompilation_cache',
  ]


def _predict(
  name: str, model: str = 'run'
) -> Callable[[pathlib.Path], list[str]]:
  return lambda directory: [
    'predict',
    f'--workdir={directory}/{model}',
    f'--input={directory / name if name != "-" else name}',
    f'--output={directory}/scores.parquet',
    '--nocompilation_cache',
  ]


def _report(name: str) -> Callable[[pathlib.Path], list[str]]:
  return lambda directory: [
    'report',
    f'--workdir={directory}/{name}',
    f'--output={directory}/page',
    '--nocompilation_cache',
  ]


def _check_page(directory: pathlib.Path) -> None:
  page = (directory / 'page' / 'report.html').read_text()
  assert page.rstrip().endswith('</html>')


def _configured(name: str) -> Callable[[pathlib.Path], list[str]]:
  return lambda directory: [
    'train',
    f'--data_dir={directory}/data',
    f'--workdir={directory}/new',
    f'--config={directory}/{name}',
  ]


def check_prepared(out: pathlib.Path) -> None:
  """The manifest agrees with the files, and the files with its counts."""
  manifest = manifest_file.read(out)
  kept = 0
  for name, split in manifest.splits.items():
    columns = columns_lib.read_split(out, manifest, name)
    kept += columns.rows
    for k, task in enumerate(manifest.task_names):
      assert columns.labels[:, k].sum() == split.positives[task], task
  for field in manifest.fields:
    if field.kind != 'numeric' and field.vocabulary_owner is None:
      words = pq.read_table(out / 'vocabulary' / f'{field.name}.parquet')
      assert len(words) == field.size, field.name
  report = manifest.report
  rows = report.get('pairs', report['raw_rows'])
  reasons = dict(report['dropped'])
  if 'pairs' in report:
    reasons = {k: n for k, n in reasons.items() if 'event' not in k}
  assert kept == rows - sum(reasons.values()), (kept, rows, reasons)


def _check_schema(path: pathlib.Path) -> None:
  assert schema_lib.read(path).tasks
  assert path.with_suffix('.md').read_text()


def _check_json(directory: pathlib.Path, name: str) -> None:
  record = json.loads((directory / name).read_text())
  assert record['stages']['pretrain']['click']['rows'] > 0


def _check_rows(directory: pathlib.Path) -> None:
  table = pq.read_table(directory / 'scores.parquet')
  rows = pq.read_table(directory / 'rows.parquet')
  assert table.select(rows.column_names).equals(rows)


def _check_scores(directory: pathlib.Path) -> None:
  table = pq.read_table(directory / 'scores.parquet')
  for task in ('click', 'conversion'):
    values = table[f'p_{task}'].to_numpy()
    assert ((values >= 0) & (values <= 1)).all(), task
  assert np.array_equal(table.num_rows, len(values))


def _prepared(
  name: str, source: str, *more: str, share: int = 4, pattern: str = 'raw/*'
) -> Target:
  return Target(
    f'prepare {name}',
    name,
    (pattern,),
    _prepare(source, *more),
    lambda directory: check_prepared(directory / 'out'),
    share,
  )


TARGETS = {
  target.name: target
  for target in (
    _prepared('retailrocket', 'retailrocket', '--as_of=all', share=6),
    _prepared('rees46', 'rees46', share=5),
    _prepared('rees46_gz', 'rees46', '--as_of=all', share=2),
    _prepared('kuairand', 'kuairand', share=6),
    _prepared('kuairand_gz', 'kuairand', '--as_of=all', share=2),
    _prepared('aliexpress', 'aliexpress', share=2),
    _prepared('aliexpress_joined', 'aliexpress', share=1),
    _prepared('ali_ccp', 'ali_ccp', share=2),
    _prepared('census_income', 'census_income', share=2),
    _prepared('criteo_attribution', 'criteo_attribution', share=2),
    _prepared('tenrec', 'tenrec', share=2),
    _prepared('movielens_100k', 'movielens', share=1),
    _prepared('movielens_1m', 'movielens', share=1),
    _prepared('movielens_25m', 'movielens', share=1),
    _prepared('table', 'table', share=8),
    _prepared('table_gz', 'table', share=3),
    _prepared('table_parquet', 'table', '--as_of=all', share=8),
    _prepared('values', 'table', share=6),
    _prepared('values_zst', 'table', share=2),
    _prepared('folders', 'table', share=4, pattern='raw/*/*'),
    _prepared('events', 'table', '--as_of=all', share=5),
    *(
      Target(
        f'schema of {base}',
        base,
        ('schema.json',),
        _prepare('table', '--as_of=gap,rates'),
        lambda directory: check_prepared(directory / 'out'),
        share,
      )
      for base, share in (('table', 8), ('values', 6), ('events', 4))
    ),
    *(
      Target(
        f'init {name}',
        name,
        ('raw/*',),
        lambda directory: [
          'init',
          f'{directory}/raw',
          f'--output={directory}/out.json',
        ],
        lambda directory: _check_schema(directory / 'out.json'),
        4,
      )
      for name in ('table', 'table_parquet')
    ),
    Target(
      'describe data',
      'data',
      ('data/manifest.json', 'data/*/*.parquet'),
      lambda directory: [
        'describe',
        f'{directory}/data',
        f'--output={directory}/page',
      ],
      _check_page,
      4,
    ),
    Target(
      'train on data',
      'data',
      ('data/manifest.json', 'data/*/*.parquet'),
      _train,
      lambda directory: _check_json(directory, 'new/metrics.json'),
      3,
      ('new',),
    ),
    Target(
      'check data',
      'data',
      ('data/manifest.json', 'data/*/*.parquet'),
      lambda directory: [
        'prepare',
        '--check',
        f'--data_dir={directory}/data',
      ],
      lambda directory: check_prepared(directory / 'data'),
      4,
    ),
    Target(
      'report a run',
      'run',
      ('run/*.json', 'run/*.jsonl', 'data/manifest.json'),
      _report('run'),
      _check_page,
      5,
    ),
    Target(
      'report a comparison',
      'comparison',
      ('compared/*.json',),
      _report('compared'),
      _check_page,
      4,
    ),
    Target(
      'evaluate a run',
      'run',
      ('run/*.json', 'run/vocabulary/*', 'data/manifest.json'),
      _evaluate,
      lambda directory: _check_json(directory, 'run/evaluation/test.json'),
      6,
      ('run',),
    ),
    Target(
      'predict by a run',
      'run',
      ('run/*.json', 'run/vocabulary/*'),
      _predict('rows.parquet'),
      _check_scores,
      6,
    ),
    *(
      Target(
        f'predict {name}',
        'run',
        (name,),
        _predict(name),
        _check_scores,
        share,
      )
      for name, share in (
        ('rows.parquet', 5),
        ('rows.csv', 4),
        ('rows.csv.gz', 2),
      )
    ),
    *(
      Target(
        name,
        'export',
        patterns,
        _predict('rows.parquet', 'model'),
        # Another program, another result: numbers can be any.
        _check_rows,
        share,
        seal=lambda directory: forged.seal(directory / 'model'),
      )
      for name, patterns, share in (
        ('predict by a program', ('model/model.bin',), 8),
        (
          'predict by an export',
          ('model/*.json', 'model/parameters/*', 'model/vocabulary/*'),
          6,
        ),
      )
    ),
    Target(
      'predict a stream',
      'run',
      ('rows.arrow',),
      _predict('-'),
      _check_scores,
      8,
      stdin='rows.arrow',
    ),
    *(
      Target(
        f'config {name}',
        'config',
        (name,),
        _configured(name),
        lambda directory: None,  # what it configures is a stub
        4,
        ('new',),
      )
      for name in ('mine.json', 'mine.py')
    ),
  )
}

"""Sound files for tests that damage them, and the commands that read them."""

from __future__ import annotations

import atexit
import contextlib
import dataclasses
import functools
import io
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.serving import predictor
from rmtl_jax.serving.export import export_writer
from tests.preparation import raw_files
from tests.serving import forged, table_run

_CRITEO = (
  *('timestamp', 'uid', 'campaign', *(f'cat{i}' for i in range(1, 10))),
  *('conversion', 'attribution', 'click', 'cost'),
)
# Raw files of public logs, by source and name.
PUBLIC = {
  'criteo_attribution': {
    'criteo_attribution_dataset.tsv.gz': [
      '\t'.join(_CRITEO),
      *(
        f'{3600 * i}\t{i % 3}\t8' + '\t1' * 9 + f'\t0\t0\t{i % 2}\t0.5'
        for i in range(40)
      ),
    ]
  },
  'movielens_1m': {
    'ratings.dat': [
      f'{i % 3 + 1}::5::{i % 5 + 1}::{881_250_949 + 3600 * i}'
      for i in range(20)
    ],
    'movies.dat': ['5::Heat (1995)::Action|Crime'],
    'users.dat': ['1::M::24::technician::85711'],
  },
  'tenrec': {
    'QB-video.csv': [
      'user_id,item_id,click,follow,like,share,video_category,'
      'watching_times,gender,age',
      *(f'{i % 4},{i % 5},{i % 2},0,0,0,2,3,1,4' for i in range(40)),
    ]
  },
}

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


@dataclasses.dataclass(frozen=True)
class Target:
  """One way into the program.

  Attributes:
    base: which sound files it takes, of `shared`.
    patterns: globs of the files that are made bad.
    argv: the command line, given the directory that holds the files.
    check: raises AssertionError unless the directory has whole output.
    created: what a command that fails may leave, first parts of paths.
    flags: whether a flag gets an odd value, in place of a file.
    stdin: the file that is standard input, where one is.
    seal: mends digests after a file was made bad.
  """

  base: str
  patterns: tuple[str, ...]
  argv: Callable[[pathlib.Path], Sequence[str]]
  check: Callable[[pathlib.Path], object]
  created: tuple[str, ...] = ()
  flags: bool = False
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
  lines = raw_files.table_lines(24)
  raw_files.write(base / 'table' / 'raw' / 'log.csv', lines)
  raw_files.write(base / 'table_gz' / 'raw' / 'log.csv.gz', lines)
  (base / 'table_parquet' / 'raw').mkdir(parents=True)
  pq.write_table(
    pa_csv.read_csv(base / 'table' / 'raw' / 'log.csv'),
    base / 'table_parquet' / 'raw' / 'log.parquet',
  )
  for name in ('table', 'table_gz', 'table_parquet'):
    raw_files.write_schema(base / name / 'schema.json')
  for source, files in PUBLIC.items():
    for name, lines in files.items():
      raw_files.write(base / source / 'raw' / name, lines)
  (base / 'run').mkdir()
  run = table_run.train(base / 'run')
  shutil.rmtree(run / 'tensorboard')
  shutil.copytree(base / 'run' / 'data', base / 'data' / 'data')
  rows = table_run.table(60).select(list(table_run.FEATURES))
  pq.write_table(rows, base / 'run' / 'rows.parquet')
  pa_csv.write_csv(rows, base / 'run' / 'rows.csv')
  with pa.ipc.new_stream(base / 'run' / 'rows.arrow', rows.schema) as stream:
    stream.write_table(rows, max_chunksize=20)
  (base / 'export').mkdir()
  export_writer.export(predictor.load(run), base / 'export' / 'model')
  shutil.copy(base / 'run' / 'rows.parquet', base / 'export')
  return base


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
    if field.has_vocabulary:
      words = pq.read_table(out / 'vocabulary' / f'{field.name}.parquet')
      assert len(words) == field.size, field.name
  report = manifest.report
  assert kept == report['raw_rows'] - sum(report['dropped'].values())


def one_line(code: int, text: str) -> str:
  """The line of a refusal; asserts that there is one, and exit code 2."""
  lines = text.splitlines()
  assert code == 2 and 'Traceback' not in text, (code, text[-2000:])
  assert sum(line.startswith('rmtl: ') for line in lines) == 1, text[-2000:]
  line = lines[-1]  # warnings and progress may stand above it
  assert line.startswith('rmtl: '), text[-2000:]
  assert len(line) < 2200 and line.isprintable(), line[:300]
  return line


@contextlib.contextmanager
def said() -> Iterator[tuple[io.StringIO, io.StringIO]]:
  """(standard output, standard error) of the block."""
  out, err = io.StringIO(), io.StringIO()
  with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
    yield out, err


def _prepare(directory: pathlib.Path) -> list[str]:
  return [
    *('prepare', '--source=table', f'--raw_dir={directory}/raw'),
    *(f'--schema={directory}/schema.json', f'--data_dir={directory}/out'),
    *('--min_count=1', '--threads=1', '--any_dates', '--as_of=all'),
  ]


def _prepare_public(name: str) -> Callable[[pathlib.Path], list[str]]:
  return lambda directory: [
    *('prepare', f'--source={name}', f'--raw_dir={directory}/raw'),
    *(f'--data_dir={directory}/out', '--min_count=1', '--any_dates'),
  ]


def _predict(
  name: str, model: str = 'run'
) -> Callable[[pathlib.Path], list[str]]:
  return lambda directory: [
    *('predict', f'--workdir={directory}/{model}', '--nocompilation_cache'),
    f'--input={directory / name if name != "-" else name}',
    f'--output={directory}/scores.parquet',
  ]


def _check_page(directory: pathlib.Path) -> None:
  page = (directory / 'page' / 'report.html').read_text()
  assert page.rstrip().endswith('</html>')


def _check_metrics(directory: pathlib.Path, name: str) -> None:
  record = json.loads((directory / name).read_text())
  assert record['stages']['pretrain']['click']['rows'] > 0


def _check_scores(directory: pathlib.Path) -> None:
  table = pq.read_table(directory / 'scores.parquet')
  for task in ('click', 'conversion'):
    values = table[f'p_{task}'].to_numpy()
    assert ((values >= 0) & (values <= 1)).all(), task


def _check_schema(directory: pathlib.Path) -> None:
  assert schema_lib.read(directory / 'out.json').tasks


_DATA = ('data/manifest.json', 'data/*/*.parquet')
_RUN = ('run/*.json', 'run/vocabulary/*')
TARGETS = {
  **{
    f'prepare {name}': Target(
      name, ('raw/*',), _prepare, lambda d: check_prepared(d / 'out')
    )
    for name in ('table', 'table_gz', 'table_parquet')
  },
  **{
    f'prepare {name}': Target(
      name,
      ('raw/*',),
      _prepare_public(name),
      lambda d: check_prepared(d / 'out'),
    )
    for name in PUBLIC
  },
  'prepare by a schema': Target(
    'table',
    ('schema.json',),
    _prepare,
    lambda d: check_prepared(d / 'out'),
  ),
  'flags of prepare': Target('table', (), _prepare, lambda d: None, flags=True),
  'flags of train': Target(
    'data',
    (),
    lambda d: ['train', f'--data_dir={d}/data', f'--workdir={d}/new', *TINY],
    lambda d: None,
    ('new',),
    flags=True,
  ),
  'flags of predict': Target(
    'run', (), _predict('rows.parquet'), lambda d: None, flags=True
  ),
  'init': Target(
    'table',
    ('raw/*',),
    lambda d: ['init', f'{d}/raw', f'--output={d}/out.json'],
    _check_schema,
  ),
  'describe data': Target(
    'data',
    _DATA,
    lambda d: ['describe', f'{d}/data'],
    lambda d: None,  # it prints, and writes nothing
  ),
  'train on data': Target(
    'data',
    _DATA,
    lambda d: ['train', f'--data_dir={d}/data', f'--workdir={d}/new', *TINY],
    lambda d: _check_metrics(d, 'new/metrics.json'),
    ('new',),
  ),
  'report a run': Target(
    'run',
    (*_RUN, 'run/*.jsonl', 'data/manifest.json'),
    lambda d: [
      *('report', f'--workdir={d}/run', f'--output={d}/page'),
      '--nocompilation_cache',
    ],
    _check_page,
  ),
  'evaluate a run': Target(
    'run',
    (*_RUN, 'data/manifest.json'),
    lambda d: [
      *('evaluate', f'--workdir={d}/run', f'--data_dir={d}/data'),
      '--nocompilation_cache',
    ],
    lambda d: _check_metrics(d, 'run/evaluation/test.json'),
    ('run',),
  ),
  'predict by a run': Target(
    'run', _RUN, _predict('rows.parquet'), _check_scores
  ),
  **{
    f'predict {name}': Target('run', (name,), _predict(name), _check_scores)
    for name in ('rows.parquet', 'rows.csv')
  },
  'predict a stream': Target(
    'run', ('rows.arrow',), _predict('-'), _check_scores, stdin='rows.arrow'
  ),
  **{
    f'predict by an export of other {name}': Target(
      'export',
      patterns,
      _predict('rows.parquet', 'model'),
      lambda d: pq.read_table(d / 'scores.parquet'),  # numbers can be any
      seal=lambda d: forged.seal(d / 'model'),
    )
    for name, patterns in {
      'files': ('model/*.json', 'model/parameters/*', 'model/vocabulary/*'),
      'programs': ('model/model.bin',),
    }.items()
  },
}

"""Sound files for tests that damage them, and the commands that read them."""

from __future__ import annotations

import atexit
import contextlib
import functools
import io
import json
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Iterator
from typing import NamedTuple

import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import schema as schema_lib
from rmtl_jax.serving import predictor
from rmtl_jax.serving.export import export_writer
from tests.preparation import raw_files
from tests.serving import table_run

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


class Target(NamedTuple):
  """A command that reads files.

  Attributes:
    base: which sound files it takes, of `shared`.
    patterns: globs of the files that are made bad.
    argv: the command line; `{}` is the directory that holds the files.
    check: raises AssertionError unless the directory has whole output.
    created: the directory that a command that fails may leave.
  """

  base: str
  patterns: tuple[str, ...]
  argv: str
  check: Callable[[pathlib.Path], object] = lambda directory: None
  created: str = ''

  def command(self, directory: pathlib.Path) -> list[str]:
    """The arguments of `rmtl`; the directory may have spaces in its name."""
    return [word.replace('{}', str(directory)) for word in self.argv.split()]


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
  (base / 'run').mkdir()
  run = table_run.train(base / 'run')
  shutil.rmtree(run / 'tensorboard')
  shutil.copytree(base / 'run' / 'data', base / 'data' / 'data')
  rows = table_run.table(60).select(list(table_run.FEATURES))
  pq.write_table(rows, base / 'run' / 'rows.parquet')
  pa_csv.write_csv(rows, base / 'run' / 'rows.csv')
  (base / 'export').mkdir()
  export_writer.export(predictor.load(run), base / 'export' / 'run')
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


def _check_metrics(path: pathlib.Path) -> None:
  record = json.loads(path.read_text())
  assert record['stages']['pretrain']['click']['rows'] > 0


def _check_scores(directory: pathlib.Path) -> None:
  table = pq.read_table(directory / 'scores.parquet')
  for task in ('click', 'conversion'):
    values = table[f'p_{task}'].to_numpy()
    assert ((values >= 0) & (values <= 1)).all(), task


_PREPARE = (
  'prepare --source=table --raw_dir={}/raw --schema={}/schema.json'
  ' --data_dir={}/out --min_count=1 --threads=1 --any_dates --as_of=all'
)
_PREDICT = (
  'predict --workdir={}/run --nocompilation_cache --output={}/scores.parquet'
  ' --input={}/'
)
_DATA = ('data/manifest.json', 'data/*/*.parquet')
_RUN = ('run/*.json', 'run/vocabulary/*')
TARGETS = {
  **{
    f'prepare {name}': Target(
      name,
      ('raw/*', 'schema.json'),
      _PREPARE,
      lambda d: check_prepared(d / 'out'),
    )
    for name in ('table', 'table_gz', 'table_parquet')
  },
  'init': Target(
    'table',
    ('raw/*',),
    'init {}/raw --output={}/out.json',
    lambda d: schema_lib.read(d / 'out.json'),
  ),
  'describe data': Target('data', _DATA[:1], 'describe {}/data'),
  'train on data': Target(
    'data',
    _DATA,
    'train --data_dir={}/data --workdir={}/new ' + ' '.join(TINY),
    lambda d: _check_metrics(d / 'new' / 'metrics.json'),
    'new',
  ),
  'report a run': Target(
    'run',
    (*_RUN, 'run/*.jsonl', 'data/manifest.json'),
    'report --workdir={}/run --output={}/page --nocompilation_cache',
    lambda d: (d / 'page' / 'report.html').read_text().index('</html>'),
  ),
  'evaluate a run': Target(
    'run',
    (*_RUN, 'data/manifest.json'),
    'evaluate --workdir={}/run --data_dir={}/data --nocompilation_cache',
    lambda d: _check_metrics(d / 'run' / 'evaluation' / 'test.json'),
    'run',
  ),
  'predict by a run': Target(
    'run', _RUN, _PREDICT + 'rows.parquet', _check_scores
  ),
  'predict for rows': Target(
    'run', ('rows.parquet',), _PREDICT + 'rows.parquet', _check_scores
  ),
  'predict for text': Target(
    'run', ('rows.csv',), _PREDICT + 'rows.csv', _check_scores
  ),
  'predict by an export': Target(
    'export', ('run/**/*.*',), _PREDICT + 'rows.parquet', _check_scores
  ),
}

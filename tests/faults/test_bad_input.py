"""Bad input that has a name: handled, or refused in one line that names it."""

from __future__ import annotations

import json
import os

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from rmtl_jax import cli
from rmtl_jax.config import prepare_settings
from rmtl_jax.preparation import prepare_log
from tests import tiny
from tests.faults import sound

pytestmark = pytest.mark.slow


def _run(*argv):
  """(exit code, standard error) of a command."""
  with sound.said() as (_, err):
    code = cli.main(['rmtl', *map(str, argv)])
  return code, err.getvalue()


# Places.


def test_places_that_cannot_be_written(tmp_path):
  """Below a file: not even root may write there, whatever the mode bits."""
  file, data = tmp_path / 'file', tmp_path / 'data'
  file.write_text('')
  tiny.write_prepared(data, sessions=6)
  before = sorted(tmp_path.rglob('*'))
  for line in (
    'prepare --source=simulated --data_dir={file}/out',
    'train --data_dir={data} --workdir={file}/run',
    'train --workdir={file}/run --simulated_rows=100',
    'compare --data_dir={data} --workdir={file}/run',
    'tune --data_dir={data} --workdir={file}/run',
    'evaluate --workdir={file}/run',
    'predict --workdir={file}/run --input=a.csv --output=b.csv',
  ):
    argv = line.format(file=file, data=data).split()
    assert str(file) in sound.one_line(*_run(*argv))
  assert sorted(tmp_path.rglob('*')) == before


# Names of files and columns that look like patterns, folders' columns or SQL.
PATHS = (
  *('click=0/price=7/log.parquet', 'log[1].csv', '[!a]/q?.csv', '**/a*.csv'),
  *('file:/log.parquet', "it's.csv", '"q".csv', '{a,b}/x y.csv', '日本 ☃.csv'),
  *('-dash.csv', ';--/a#b.csv', '%20$HOME.parquet', 'a\\b.csv', '~root.csv'),
)
NAMES = (
  *('rowid', 'filename', 'file_row_number', 'session', 'timestamp', 'split'),
  *('position', 'y_click', 'select', '"', "a'b", 'a.b', ' a', '*', '$1', '{0}'),
  *('%s', 'é', '💥', 'x' * 300, 'NULL', 'Mixed Case'),
)
ODD = {
  'paths': [(path, 'item', 'price') for path in PATHS],
  'columns': [
    *(('log.csv', name, 'price') for name in NAMES),
    *(('log.parquet', 'item', name) for name in NAMES[::3]),
  ],
}


@pytest.mark.parametrize('kind', ODD)
def test_the_named_file_and_columns_alone_are_read(tmp_path, kind):
  """Whatever stands next to the file, and whatever a name looks like."""
  for n, (path, item, price) in enumerate(ODD[kind]):
    _check_odd(tmp_path / str(n), path, item, price)


def _check_odd(place, path, item, price):
  rows = range(15)
  columns = {
    'user': [f'u{i % 3}' for i in rows],
    item: [f'i{i % 4}' for i in rows],
    'ts': [1_704_067_200_000 + 7_200_000 * i for i in rows],
    price: [i / 2 - 3 for i in rows],
    'click': [i % 2 for i in rows],
  }
  raw = place / path
  raw.parent.mkdir(parents=True)
  (raw.parent / f'1{raw.suffix}').write_text('decoy')
  with raw.open('wb') as file:
    write = pa_csv.write_csv if raw.suffix == '.csv' else pq.write_table
    write(pa.table(columns), file)
  schema = {
    'user': 'user',
    'item': item,
    'time': {'column': 'ts'},
    'categorical': [{'column': item, 'name': 'item'}],
    'numeric': [{'column': price, 'name': 'price'}],
    'tasks': [{'name': 'click', 'column': 'click'}],
  }
  (place / 'schema.json').write_text(json.dumps(schema))
  out = place / 'out'
  manifest = prepare_log.prepare(
    prepare_settings.PrepareConfig(
      raw_dir=os.fspath(raw),
      data_dir=os.fspath(out),
      schema=os.fspath(place / 'schema.json'),
      min_count=1,
      as_of=('none',),
    )
  )
  files = [f for split in manifest.splits.values() for f in split.files]
  found = pa.concat_tables(pq.ParquetFile(out / f).read() for f in files)
  found = found.sort_by('row_id')
  words = pq.read_table(out / 'vocabulary' / 'item.parquet')['value']
  named = [words[i].as_py() for i in found['f_item'].to_pylist()]
  assert named == columns[item], (path, item)
  assert found['timestamp'].to_pylist() == columns['ts']
  assert found['y_click'].to_pylist() == columns['click']
  details = next(f for f in manifest.fields if f.name == 'price').details
  prices = found['x_price'].to_numpy() * details['deviation'] + details['mean']
  assert prices.tolist() == pytest.approx(columns[price], abs=1e-5), price


# Labels.


def _one_class(directory, split, task):
  """Makes all labels of a task in one split of prepared data negative."""
  path = directory / split / 'part-00000.parquet'
  table = pq.read_table(path)
  at = table.column_names.index(f'y_{task}')
  labels = [0.0] * table.num_rows
  pq.write_table(table.set_column(at, f'y_{task}', [labels]), path)
  manifest = json.loads((directory / 'manifest.json').read_text())
  manifest['splits'][split]['positives'][task] = 0
  (directory / 'manifest.json').write_text(json.dumps(manifest))


def test_a_task_of_one_class_is_undefined_and_no_crash(tmp_path):
  data = tmp_path / 'data'
  tiny.write_prepared(data, sessions=24)

  def train(name):
    argv = [f'--data_dir={data}', f'--workdir={tmp_path / name}']
    return _run('train', *argv, *sound.TINY)

  _one_class(data, 'test', 'conversion')
  _one_class(data, 'validation', 'conversion')
  code, error = train('run')
  assert code == 0, error
  record = json.loads((tmp_path / 'run' / 'metrics.json').read_text())
  assert record['stages']['pretrain']['conversion']['auc'] is None
  assert record['stages']['pretrain']['click']['auc'] is not None
  assert any('early stopping looks at click' in w for w in record['warnings'])
  _one_class(data, 'validation', 'click')
  line = sound.one_line(*train('again'))
  assert 'early stopping has nothing to look at' in line

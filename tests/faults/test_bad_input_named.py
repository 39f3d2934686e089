"""Bad input that has a name: one test each, by the launcher."""

from __future__ import annotations

import json
import os

import pyarrow.parquet as pq
import pytest

from rmtl_jax import cli
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from tests import tiny
from tests.faults import fuzz_targets, fuzz_worker, mutations
from tests.preparation import raw_files

HUGE = 'x' * mutations.HUGE


def _lines(**changes):
  """A table of 20 rows; `row_column=value` changes a cell, rows from 1."""
  lines = [line.split(',') for line in raw_files.table_lines()]
  for name, value in changes.items():
    column, row = name.rsplit('_', 1)
    lines[int(row)][lines[0].index(column)] = value
  return [','.join(line) for line in lines]


def _prepare(tmp_path, content, *more, name='log.csv', schema=None):
  """(exit code, standard error) of prepare on a file's bytes."""
  raw = tmp_path / 'raw' / name
  raw.parent.mkdir(exist_ok=True)
  raw.write_bytes(content)
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)
  return _run(
    'prepare',
    '--source=table',
    f'--raw_dir={raw}',
    f'--schema={path}',
    f'--data_dir={tmp_path / "out"}',
    '--min_count=1',
    '--any_dates',
    *more,
  )


def _run(*argv):
  code, _, error = _said(*argv)
  return code, error


def _said(*argv):
  with fuzz_worker.said() as (out, err):
    code = cli.main(['rmtl', *map(str, argv)])
  return code, out.getvalue(), err.getvalue()


def _text(lines, end='\n'):
  return ''.join(line + end for line in lines).encode()


def _handled(tmp_path, found, rows=20):
  code, error = found
  assert code == 0, error
  fuzz_targets.check_prepared(tmp_path / 'out')
  manifest = manifest_file.read(tmp_path / 'out')
  assert sum(split.rows for split in manifest.splits.values()) == rows


def _refused(tmp_path, found, *parts):
  line = fuzz_worker.one_line(*found)
  for part in parts:
    assert part in line
  assert not (tmp_path / 'out').exists()
  assert not [p for p in tmp_path.iterdir() if p.name.startswith('.')]


# Cells.


@pytest.mark.slow
def test_a_value_of_a_million_characters_is_a_value(tmp_path):
  _handled(tmp_path, _prepare(tmp_path, _text(_lines(item_3=HUGE))))
  assert HUGE in raw_files.vocabulary(tmp_path, 'item')


@pytest.mark.slow
def test_a_million_digits_are_no_number(tmp_path):
  found = _prepare(tmp_path, _text(_lines(ts_3='9' * mutations.HUGE)))
  _refused(tmp_path, found, 'log.csv: row 4', "'ts'", '99...')


@pytest.mark.slow
def test_a_wrong_value_below_a_huge_one_is_found(tmp_path):
  lines = _lines(item_3=HUGE, clicked_7='2')
  found = _prepare(tmp_path, _text(lines))
  _refused(tmp_path, found, "log.csv: row 8, column 'clicked': '2'")


@pytest.mark.slow
def test_a_header_of_a_million_characters(tmp_path):
  found = _prepare(tmp_path, _text([HUGE, *_lines()[1:]]))
  _refused(tmp_path, found, 'log.csv', "no column 'user'")


@pytest.mark.slow
def test_invalid_utf8_names_its_row(tmp_path):
  content = _text(_lines()).replace(b'u1,', b'u\xff,', 1)
  _refused(tmp_path, _prepare(tmp_path, content), 'log.csv: row 3', 'UTF-8')


@pytest.mark.slow
def test_mixed_line_ends_are_handled_or_named(tmp_path):
  lines = _lines()
  content = b''.join(
    line.encode() + (b'\r\n' if i % 2 else b'\n')
    for i, line in enumerate(lines)
  )
  code, error = _prepare(tmp_path, content)
  if code:
    _refused(tmp_path, (code, error), 'log.csv', 'line ends')
  else:
    _handled(tmp_path, (code, error))


@pytest.mark.slow
@pytest.mark.parametrize('end', ['\n', '\r\n', '\r'])
def test_line_ends_of_every_system(tmp_path, end):
  _handled(tmp_path, _prepare(tmp_path, _text(_lines(), end)))


@pytest.mark.slow
def test_a_byte_order_mark_is_left_out(tmp_path):
  _handled(tmp_path, _prepare(tmp_path, b'\xef\xbb\xbf' + _text(_lines())))


@pytest.mark.slow
def test_utf16_is_named(tmp_path):
  content = _text(_lines()).decode().encode('utf-16')
  _refused(tmp_path, _prepare(tmp_path, content), 'log.csv')


@pytest.mark.slow
def test_quoted_commas_quotes_and_line_ends(tmp_path):
  lines = _lines(item_1='"a,b"', item_2='"say ""x"""', item_3='"two\nlines"')
  _handled(tmp_path, _prepare(tmp_path, _text(lines)))
  words = raw_files.vocabulary(tmp_path, 'item')
  assert {'a,b', 'say "x"', 'two\nlines'} <= set(words)


@pytest.mark.slow
@pytest.mark.parametrize(
  'value', [str(2**63), str(-(2**63) - 1), '1e400', '1.5e19', 'nan', '']
)
def test_integers_beyond_64_bits(tmp_path, value):
  found = _prepare(tmp_path, _text(_lines(ts_5=value)))
  _refused(tmp_path, found, "log.csv: row 6, column 'ts'")


@pytest.mark.slow
@pytest.mark.parametrize('value', ['inf', '-inf', '1e308', '-1e31'])
def test_numbers_without_measure(tmp_path, value):
  found = _prepare(tmp_path, _text(_lines(price_5=value)))
  _refused(tmp_path, found, "log.csv: row 6, column 'price'")


@pytest.mark.slow
def test_time_that_goes_backwards_is_sorted(tmp_path):
  lines = _lines()
  _handled(tmp_path, _prepare(tmp_path, _text([lines[0], *lines[:0:-1]])))
  for split in manifest_lib.SPLITS:
    times = [row['timestamp'] for row in raw_files.read(tmp_path, split)]
    assert times == sorted(times)


# Rows as a whole.


@pytest.mark.slow
def test_one_session_cannot_be_split(tmp_path):
  lines = [raw_files.HEADER]
  lines += [f'u,i{i},{i * 1000},1,{i % 2},0' for i in range(50)]
  found = _prepare(tmp_path, _text(lines))
  _refused(tmp_path, found, 'log.csv', '50 rows in 1 session')


@pytest.mark.slow
def test_a_header_and_nothing_else(tmp_path):
  found = _prepare(tmp_path, _text([raw_files.HEADER]))
  _refused(tmp_path, found, 'log.csv', 'no rows')


@pytest.mark.slow
def test_all_rows_dropped(tmp_path):
  """Events without a single view make no row."""
  raw = tmp_path / 'raw'
  events = [f'{10**12 + i},{i},addtocart,{i},' for i in range(30)]
  header = 'timestamp,visitorid,event,itemid,transactionid'
  raw_files.write(raw / 'events.csv', [header, *events])
  found = _run(
    'prepare',
    '--source=retailrocket',
    f'--raw_dir={raw}',
    f'--data_dir={tmp_path / "out"}',
  )
  _refused(tmp_path, found, 'raw: 0 rows')


@pytest.mark.slow
@pytest.mark.parametrize('cut', [10, 100, 150])
def test_truncated_gzip_is_never_a_shorter_log(tmp_path, cut):
  raw_files.write(tmp_path / 'log.csv.gz', _lines())
  content = (tmp_path / 'log.csv.gz').read_bytes()
  (tmp_path / 'log.csv.gz').unlink()
  found = _prepare(tmp_path, content[:-cut], name='log.csv.gz')
  _refused(tmp_path, found, 'log.csv.gz')


@pytest.mark.slow
def test_gzip_with_a_wrong_checksum_is_damaged(tmp_path):
  raw_files.write(tmp_path / 'log.csv.gz', _lines())
  content = bytearray((tmp_path / 'log.csv.gz').read_bytes())
  (tmp_path / 'log.csv.gz').unlink()
  content[-6] ^= 1
  found = _prepare(tmp_path, bytes(content), name='log.csv.gz')
  _refused(tmp_path, found, 'log.csv.gz')


@pytest.mark.long
def test_a_session_of_a_million_rows(tmp_path):
  """Cut into lanes, not into sessions."""
  rows = 10**6
  lines = [raw_files.HEADER]
  lines += [f'u,i{i % 50},{i * 1000},{i % 7},{i % 2},0' for i in range(rows)]
  lines += [f'v{i},i1,{10**10 + i * 10**7},1,1,0' for i in range(rows // 2)]
  found = _prepare(tmp_path, _text(lines), '--as_of=gap,position,rates')
  code, error = found
  assert code == 0, error
  manifest = manifest_file.read(tmp_path / 'out')
  assert manifest.report['session_rows']['p100'] == rows
  fuzz_targets.check_prepared(tmp_path / 'out')


# Places.


@pytest.mark.slow
def test_links_to_data_and_to_the_target(tmp_path):
  (tmp_path / 'real').mkdir()
  raw_files.write(tmp_path / 'real' / 'log.csv', _lines())
  (tmp_path / 'raw').mkdir()
  (tmp_path / 'raw' / 'link.csv').symlink_to(tmp_path / 'real' / 'log.csv')
  (tmp_path / 'disk').mkdir()
  (tmp_path / 'out').symlink_to(tmp_path / 'disk' / 'data')
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  argv = (
    'prepare',
    f'--raw_dir={tmp_path / "raw"}',
    f'--schema={schema}',
    f'--data_dir={tmp_path / "out"}',
    '--any_dates',
  )
  _handled(tmp_path, _run(*argv))
  _handled(tmp_path, _run(*argv, '--overwrite'))
  assert (tmp_path / 'out').is_symlink()
  assert [p.name for p in (tmp_path / 'disk').iterdir()] == ['data']


@pytest.mark.slow
@pytest.mark.parametrize('link', ['missing', 'loop'])
def test_links_that_lead_nowhere(tmp_path, link):
  (tmp_path / 'raw').mkdir()
  path = tmp_path / 'raw' / 'log.csv'
  path.symlink_to(path if link == 'loop' else tmp_path / 'gone.csv')
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  for raw in (path, tmp_path / 'raw'):
    found = _run(
      'prepare',
      f'--raw_dir={raw}',
      f'--schema={schema}',
      f'--data_dir={tmp_path / "out"}',
    )
    _refused(tmp_path, found, 'raw')


@pytest.mark.slow
@pytest.mark.parametrize(
  'name', ['with space', 'Zoë ☃ 雪', "it's", '100%', '-x', '[0-9]*']
)
def test_paths_of_every_kind(tmp_path, name):
  place = tmp_path / name
  place.mkdir()
  _handled(place, _prepare(place, _text(_lines()), name=f'{name}.csv'))


@pytest.mark.slow
def test_names_that_are_no_utf8(tmp_path):
  name = os.fsdecode(b'\xff.csv')
  raw_files.write(tmp_path / 'raw' / name, _lines())
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  for raw in (tmp_path / 'raw' / name, tmp_path / 'raw'):
    found = _run(
      'prepare',
      f'--raw_dir={raw}',
      f'--schema={schema}',
      f'--data_dir={tmp_path / "out"}',
    )
    _refused(tmp_path, found, 'not valid UTF-8')


@pytest.mark.slow
def test_places_that_cannot_be_written(tmp_path):
  """Below a file: not even root may write there, whatever the mode bits."""
  file = tmp_path / 'file'
  file.write_text('')
  data = tmp_path / 'data'
  tiny.write_prepared(data, sessions=6)
  raw_files.write(tmp_path / 'raw' / 'log.csv', _lines())
  schema = raw_files.write_schema(tmp_path / 'schema.json')
  before = sorted(tmp_path.rglob('*'))
  for argv in (
    (
      'prepare',
      f'--raw_dir={tmp_path}/raw',
      f'--schema={schema}',
      f'--data_dir={file}/out',
    ),
    ('train', f'--data_dir={data}', f'--workdir={file}/run'),
    ('train', f'--workdir={file}/run', '--simulated_rows=100'),
    ('compare', f'--data_dir={data}', f'--workdir={file}/run'),
    ('tune', f'--data_dir={data}', f'--workdir={file}/run'),
    ('evaluate', f'--workdir={file}/run'),
    ('predict', f'--workdir={file}/run', '--input=a.csv', '--output=b.csv'),
  ):
    assert str(file) in fuzz_worker.one_line(*_run(*argv))
  assert sorted(tmp_path.rglob('*')) == before


# Labels.


def _one_class(directory, split, task, value=0.0):
  """Rewrites a task's labels in one split of prepared data."""
  path = directory / split / 'part-00000.parquet'
  table = pq.read_table(path)
  at = table.column_names.index(f'y_{task}')
  labels = [value] * table.num_rows
  pq.write_table(table.set_column(at, f'y_{task}', [labels]), path)
  manifest = json.loads((directory / 'manifest.json').read_text())
  count = int(value * table.num_rows)
  manifest['splits'][split]['positives'][task] = count
  (directory / 'manifest.json').write_text(json.dumps(manifest))


def _train(data, run, *more):
  return _run(*_training(data, run, *more))


def _training(data, run, *more):
  settings = [flag for flag in fuzz_targets.TINY if flag != '--stage=pretrain']
  return (
    'train',
    f'--data_dir={data}',
    f'--workdir={run}',
    *settings,
    *more,
  )


@pytest.mark.slow
def test_one_class_in_test_is_undefined_and_no_crash(tmp_path):
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=24)
  _one_class(data, 'test', 'conversion')
  code, error = _train(data, run, '--stage=pretrain')
  assert code == 0, error
  record = json.loads((run / 'metrics.json').read_text())
  assert record['stages']['pretrain']['conversion']['auc'] is None
  assert record['stages']['pretrain']['click']['auc'] is not None


@pytest.mark.slow
def test_no_positive_in_validation(tmp_path):
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=24)
  _one_class(data, 'validation', 'conversion')
  code, table, error = _said(*_training(data, run, '--stage=pretrain'))
  assert code == 0, error
  said = (
    'validation: conversion has one class only, so its AUC is undefined; early'
    ' stopping looks at click alone'
  )
  assert ' '.join(table.split()).count(said) == 1 and said not in error
  record = json.loads((run / 'metrics.json').read_text())
  assert said in record['warnings']
  assert record['stages']['pretrain']['conversion']['auc'] is not None
  # Nothing is left to look at.
  _one_class(data, 'validation', 'click')
  line = fuzz_worker.one_line(*_train(data, tmp_path / 'again'))
  assert 'early stopping has nothing to look at' in line


@pytest.mark.long
def test_all_stages_and_a_comparison_with_one_class(tmp_path):
  data, run = tmp_path / 'data', tmp_path / 'run'
  tiny.write_prepared(data, sessions=24)
  for split in ('validation', 'test'):
    _one_class(data, split, 'conversion')
  code, error = _train(data, run, '--config.critic.max_passes=1')
  assert code == 0, error
  settings = [f for f in fuzz_targets.TINY if 'epochs' not in f]
  code, error = _run(
    'compare',
    f'--data_dir={data}',
    f'--workdir={tmp_path / "comparison"}',
    *[f for f in settings if f != '--stage=pretrain'],
    '--config.pretrain.patience=1',
    '--config.finetune.max_epochs=1',
    '--config.critic.max_passes=1',
    '--config.compare.learning_rates=1e-3',
    '--methods=shared_bottom+critic',
    '--seeds=0,1',
  )
  assert code == 0, error
  report = (tmp_path / 'comparison' / 'results.md').read_text()
  assert '## Verdict' in report

import copy
import dataclasses
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyarrow import csv

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax.serving import predictor
from rmtl_jax.serving.export import export_writer
from rmtl_jax.serving.monitoring import judge, model, scored
from tests.serving import table_run


@pytest.fixture(scope='module')
def log(run_dir):
  """The log that the run was trained on, scored; its labels stay."""
  table = table_run.table()
  for task, values in rmtl_jax.load(run_dir, warm_up=0).predict(table).items():
    table = table.append_column('p_' + task, pa.array(values))
  return table


@pytest.fixture(scope='module')
def log_file(log, tmp_path_factory):
  path = tmp_path_factory.mktemp('scored') / 'scored.parquet'
  pq.write_table(log, path)
  return path


@pytest.fixture(scope='module')
def read(run_dir, log_file):
  return scored.read(model.read(run_dir), str(log_file))


def test_users_bind_rows_and_labels_are_read(read, log):
  users = log['Customer No'].to_pylist()
  # Rows without a user are bound by their session.
  visits = log['Visit'].to_pylist()
  alone = {v for u, v in zip(users, visits, strict=True) if u is None}
  assert len(set(read.cluster)) == len({*users} - {None}) + len(alone)
  np.testing.assert_array_equal(read.labels['click'], log['click'])
  np.testing.assert_array_equal(read.predictions['click'], log['p_click'])


def with_column(log, name, values):
  at = log.column_names.index(name)
  return log.set_column(at, name, pa.array(values))


def test_labels_that_are_nan_are_not_there_yet(run_dir, log, tmp_path):
  click = log['click'].to_numpy().astype(float)
  click[:7] = np.nan
  log = with_column(log, 'click', click)
  pq.write_table(log, tmp_path / 'scored.parquet')
  csv.write_csv(log, tmp_path / 'scored.csv')
  assert b'nan' in (tmp_path / 'scored.csv').read_bytes()
  for name in ('scored.parquet', 'scored.csv'):
    found = scored.read(model.read(run_dir), str(tmp_path / name))
    np.testing.assert_array_equal(found.labels['click'], click)


def with_schema(of, schema):
  """A model of data with another schema."""
  options = {**of.manifest.options, 'schema': schema}
  return of._replace(manifest=dataclasses.replace(of.manifest, options=options))


def test_weights_are_read_where_labels_are(run_dir, log, tmp_path):
  """Those of the row and of the task multiply."""
  of = model.read(run_dir)
  schema = copy.deepcopy(of.manifest.options['schema'])
  schema |= {'weight': 'trust'}
  schema['tasks'][1]['weight'] = 'worth'
  of = with_schema(of, schema)
  click = pa.array([None, *log['click'].to_pylist()[1:]])
  trust = [None, *np.arange(1, len(log)) % 3]
  weighted = with_column(log, 'click', click).append_column(
    'trust', pa.array(trust, pa.float64())
  )
  path = tmp_path / 'scored.parquet'
  pq.write_table(weighted, path)
  found = scored.read(of, str(path))
  assert list(found.weights) == ['click']  # the log has no column "worth"
  np.testing.assert_array_equal(found.weights['click'][1:], trust[1:])
  weighted = weighted.append_column('worth', pa.array(np.full(len(log), 0.5)))
  weighted = with_column(weighted, 'buy', click)
  csv.write_csv(weighted, tmp_path / 'scored.csv')
  found = scored.read(of, str(tmp_path / 'scored.csv'))
  half = 0.5 * np.array(trust[1:])
  np.testing.assert_array_equal(found.weights['conversion'][1:], half)
  trust[7] = -1.0
  weighted = with_column(weighted, 'trust', trust)
  pq.write_table(weighted, path)
  with pytest.raises(types.InputError, match=r"row 8, column 'trust': -1\.0, "):
    scored.read(of, str(path))


def test_missing_values_are_counted_in_raw_columns(read, log):
  assert read.fields['user'].missing == log['Customer No'].null_count > 0
  assert read.fields['age'].missing == log['age'].null_count > 0
  assert read.fields['price'].missing == 0
  assert read.fields['tags'].missing == log['tags'].null_count > 0


def _run(run_dir, log_file, output, *flags):
  return cli.main(
    [
      'rmtl',
      'monitor',
      f'--workdir={run_dir}',
      f'--log={log_file}',
      f'--output={output}',
      *flags,
    ]
  )


def test_the_log_of_training_raises_no_alarm(
  run_dir, log_file, tmp_path, capsys
):
  assert _run(run_dir, log_file, tmp_path / 'page') == 0
  shown = capsys.readouterr().out
  assert 'No alarm: 400 rows of scored.parquet' in ' '.join(shown.split())
  assert max(map(len, shown.splitlines()[:-2])) <= 80
  record = json.loads((tmp_path / 'page' / 'monitor.json').read_text())
  assert record['alarms'] == [] and record['rows'] == 400
  assert {of['task'] for of in record['labels']} == {'click', 'conversion'}


def test_a_log_that_has_moved_exits_with_1(run_dir, log, tmp_path, capsys):
  rows = len(log)
  moved = log.set_column(
    log.column_names.index('item'), 'item', pa.array(['new'] * rows)
  )
  moved = moved.set_column(
    log.column_names.index('price'), 'price', pa.nulls(rows, pa.float64())
  )
  pq.write_table(moved.drop_columns(['click', 'buy']), tmp_path / 'm.parquet')
  assert _run(run_dir, tmp_path / 'm.parquet', tmp_path / 'page') == 1
  shown = ' '.join(capsys.readouterr().out.split())
  assert "ALARM: field 'item': 100.0% of the values are missing or not" in shown
  assert "ALARM: field 'price': 100.0% of the rows have no value" in shown
  assert 'The log has no labels' in shown


def test_an_export_is_compared_as_its_run(run_dir, log_file, tmp_path):
  out = tmp_path / 'exported'
  export_writer.export(predictor.load(run_dir), out)
  found = judge.monitor(out, str(log_file))
  assert found == {**judge.monitor(run_dir, str(log_file)), 'name': 'exported'}
  with pytest.raises(types.InputError, match='was exported with its stage'):
    judge.monitor(out, str(log_file), stage='pretrain')
  (out / 'reference.json').write_text('{}')
  with pytest.raises(types.InputError, match='is not what was exported'):
    judge.monitor(out, str(log_file))


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    (lambda t: t.drop_columns(['p_click']), "no column 'p_click', which rmtl"),
    (lambda t: t.drop_columns(['item']), "no column 'item'; it has"),
    (lambda t: t.slice(0, 0), 'has no rows'),
    (
      lambda t: _replaced(t, 'p_click', 2, 1.5),
      "row 3, column 'p_click': 1.5, expected a probability",
    ),
    (
      lambda t: _replaced(t, 'p_click', 1, None),
      "row 2, column 'p_click'",
    ),
    (
      lambda t: _replaced(t, 'click', 4, 7),
      "row 5, column 'click': 7, expected 0 or 1",
    ),
  ],
)
def test_a_log_that_the_run_did_not_score_is_one_line(
  run_dir, log, tmp_path, capsys, change, message
):
  path = tmp_path / 'log.parquet'
  pq.write_table(change(log), path)
  assert _run(run_dir, path, tmp_path / 'page') == 2
  line = capsys.readouterr().err
  assert message in line and line.count('\n') == 1
  assert not (tmp_path / 'page').exists()


def _replaced(table, name, row, value):
  values = table[name].to_pylist()
  values[row] = value
  return table.set_column(
    table.column_names.index(name), name, pa.array(values)
  )

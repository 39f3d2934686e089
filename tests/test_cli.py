"""The launcher as a person meets it: exit codes, one line, whole jobs."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import cli
from tests import tiny

SCHEMA = {
  'session': 'session',
  'time': {'column': 'time', 'unit': 's'},
  'user': 'user',
  'item': 'item',
  'categorical': ['user', 'item'],
  'numeric': ['price'],
  'tasks': [
    {'name': 'click', 'column': 'click'},
    {'name': 'conversion', 'column': 'buy', 'after': 'click'},
  ],
}
SMALL = (
  '--config.network.embedding_dim=4',
  '--config.network.bottom_units=8,6',
  '--config.network.tower_units=(6,)',
  '--config.network.num_experts=2',
  '--config.batch.lanes=4',
  '--config.batch.lane_length=8',
  '--config.pretrain.max_epochs=1',
  '--config.critic.max_passes=1',
  '--config.finetune.max_epochs=1',
  '--config.evaluation.bootstrap=10',
  '--nocompilation_cache',
)


def _run(*argv):
  return cli.main(['rmtl', *map(str, argv)])


def _one_line(capsys, *parts):
  # Lines of progress may stand above it.
  *above, error, end = capsys.readouterr().err.split('\n')
  assert not any(line.startswith('rmtl: ') for line in above), above
  assert error.startswith('rmtl: ') and not end, error
  for part in parts:
    assert part in error
  return f'{error}\n'


def _table(rows=240):
  rng = np.random.default_rng(0)
  click = rng.integers(0, 2, rows)
  return {
    'session': np.arange(rows) // 4,
    'time': np.arange(rows),
    'user': rng.integers(0, 9, rows),
    'item': rng.integers(0, 12, rows),
    'price': rng.normal(size=rows).round(3),
    'click': click,
    'buy': click * rng.integers(0, 2, rows),
  }


@pytest.fixture
def schema(tmp_path):
  path = tmp_path / 'schema.json'
  path.write_text(json.dumps(SCHEMA))
  return path


def _prepare(schema, raw, data_dir):
  return _run(
    'prepare',
    '--source=table',
    f'--raw_dir={raw}',
    f'--schema={schema}',
    f'--data_dir={data_dir}',
    '--any_dates',
  )


@pytest.mark.slow
def test_own_table_from_log_to_evaluation(tmp_path, capsys, schema):
  raw = tmp_path / 'log.parquet'
  pq.write_table(pa.table(_table()), raw)
  data, run = tmp_path / 'data', tmp_path / 'my run'
  assert _prepare(schema, raw, data) == 0
  assert _run('train', f'--data_dir={data}', f'--workdir={run}', *SMALL) == 0
  out = capsys.readouterr().out
  assert out.endswith(f"\nnext: rmtl report --workdir='{run}'\n")
  assert _run('evaluate', f'--workdir={run}') == 0
  trained = json.loads((run / 'metrics.json').read_text())
  again = json.loads((run / 'evaluation' / 'test.json').read_text())
  assert again['stages'] == trained['stages']
  # A second run with other settings may not overwrite the first.
  assert (
    _run(
      'train',
      f'--data_dir={data}',
      f'--workdir={run}',
      *SMALL,
      '--config.seed=4',
    )
    == 2
  )
  _one_line(capsys, 'config.seed')


@pytest.mark.parametrize(
  ('argv', 'part'),
  [
    (('trian',), 'trian'),
    (('train',), '--workdir'),
    (('train', '--workdir=x', '--config.backbon=ple'), 'did you mean backbone'),
    (('train', 'workdir'), 'workdir'),
    (('train', '--workdir=a\0b'), 'contains a NUL'),
    (('train', '--workdir=a\udcff'), 'not valid UTF-8'),
    (('train', f'--workdir={"x" * 10**6}'), '[...]'),
    (('evaluate', '--workdir=\x1b[31m'), '\\x1b[31m'),
    (('evaluate', '--workdir=nowhere'), 'nowhere'),
    (('importance', '--workdir=x', '--repeats=0'), 'repeats'),
    (('prepare', '--source=table', '--split=6,2,x', '--data_dir=x'), 'split'),
    (('prepare', '--source=tabel', '--data_dir=x', '--raw_dir=x'), 'tabel'),
  ],
)
def test_bad_usage_is_one_line_and_exit_code_2(
  argv, part, capsys, tmp_path, monkeypatch
):
  monkeypatch.chdir(tmp_path)
  assert _run(*argv) == 2
  _one_line(capsys, part)
  assert not list(tmp_path.iterdir())


def _tune(monkeypatch, tmp_path, *more):
  """The search that a command line asks for; nothing is trained."""
  from rmtl_jax.studies import tuning

  data = tmp_path / 'data'
  if not data.exists():
    tiny.write_prepared(data)
  asked = []

  def keep(config, wanted, *rest):
    del rest
    asked.append((config, wanted))
    return 130

  monkeypatch.setattr(tuning, '_tune', keep)
  workdir = f'--workdir={tmp_path / "tuning"}'
  code = _run('tune', workdir, f'--data_dir={data}', *SMALL, *more)
  return code, asked


def test_tune_searches_what_the_data_can_have(tmp_path, monkeypatch):
  code, ((config, wanted),) = _tune(monkeypatch, tmp_path)
  assert code == 130
  assert {d.name for d in wanted.space} == {
    'network.dropout',
    'network.embedding_scale',
    'network.id_dropout',
    'pretrain.embedding_l2',
    'pretrain.l2',
    'pretrain.learning_rate',
  }
  # What `rmtl train` would train.
  assert config.ensemble == 4 and 'backbone=lightgbm' in config.variants
  assert (wanted.confirm, wanted.seeds, wanted.minutes) == (3, (0, 1), 0)
  assert wanted.fresh == (2, 3, 4, 5)
  _, ((config, wanted),) = _tune(
    monkeypatch,
    tmp_path,
    '--search=network.ignore=|user|user+price,network.dropout=0:0.3',
    '--config.network.ignore=tags+asof',
    '--confirm=1',
    '--trials=4',
    '--minutes=0.5',
  )
  assert wanted.minutes == 0.5
  assert config.network.ignore == 'tags+asof'
  assert wanted.space[0].choices == ('', 'user', 'user+price')
  assert (wanted.confirm, wanted.fresh, wanted.trials) == (1, (2, 3, 4, 5), 4)

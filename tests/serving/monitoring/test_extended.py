"""Extended data: every day has new items, and those of test rows have ids."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import prepare_log
from rmtl_jax.preparation.description import overview
from rmtl_jax.results import reference
from rmtl_jax.runtime import workdir
from rmtl_jax.serving.monitoring import judge, model, scored, thresholds
from tests.serving import table_run

DAY = 86_400
START = 1_714_521_600  # 2024-05-01
ROWS, OLD = 800, 10
SCHEMA = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'time', 'unit': 's'},
  'categorical': ['user', 'item'],
  'tasks': [{'name': 'click', 'column': 'click', 'known_after_seconds': 60}],
}


def day(number: int, new: float = 0.4) -> pa.Table:
  """Rows of one day, a share of which are of items of this day alone."""
  rng = np.random.default_rng(number)
  is_new = np.arange(ROWS) < round(new * ROWS)
  item = rng.integers(0, OLD, ROWS)
  time = START + number * DAY + np.arange(ROWS) * (DAY // ROWS)
  return pa.table(
    {
      'user': [f'u{n}' for n in rng.permutation(ROWS)],
      'item': [
        f'of day {number}: {n}' if one else f'old {n}'
        for n, one in zip(item, is_new[rng.permutation(ROWS)], strict=True)
      ],
      'time': time,
      'click': (rng.random(ROWS) < 0.2).astype(int),
    }
  )


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  """Train has days 0 to 2, validation day 3, test day 4, which extends."""
  path = tmp_path_factory.mktemp('extended')
  prepare_log.prepare(
    prepare_settings.PrepareConfig(
      data_dir=str(path / 'old'),
      min_count=1,
      as_of=('none',),
      split_dates=('2024-05-03', '2024-05-04'),
      until='2024-05-05',
    ),
    table=pa.concat_tables(map(day, range(4))),
    schema=SCHEMA,
  )
  prepare_log.prepare(
    prepare_settings.PrepareConfig(
      extend=str(path / 'old'), data_dir=str(path / 'data')
    ),
    table=day(4),
  )
  (path / 'run').mkdir()
  workdir.create(path / 'run', table_run.CONFIG, path / 'data')
  reference.write(workdir.read(path / 'run'))
  return path


def read(run, change=lambda record: record) -> model.Model:
  """The model of the run, with predictions of 0.2."""
  manifest = manifest_file.read(run / 'data')
  record = change(json.loads((run / 'run' / reference.FILE).read_text()))
  tasks = reference.distributions(np.full((ROWS, 1), 0.2), ['click'])
  tasks['click']['metrics'] = {}
  record = reference.checked({**record, 'tasks': tasks}, manifest, 'RUN')
  return model.Model(run / 'run', manifest, frozenset(), 'pretrain', record)


def compared(of: model.Model, table: pa.Table, path) -> dict:
  scores = pa.array(np.full(ROWS, 0.2))
  table = table.drop_columns(['click', 'user'])
  table = table.append_column('user', day(4)['user'])
  pq.write_table(table.append_column('p_click', scores), path)
  return judge.compare(of, scored.read(of, str(path)), thresholds.Thresholds())


def test_values_without_train_rows_are_unseen(run):
  of = read(run).reference['fields']['item']
  # Behind row 0, the ten old items and ten of each of the first train's two
  # days; the items of days 2 and 3 have no id.
  assert of['untrained'] == [[31, 41]]
  assert of['blank']['test'] == pytest.approx(0.4)
  assert of['counts']['test'][0] == pytest.approx(0.4 * ROWS)
  shown = {f['name']: f for f in overview.describe(run / 'data')['fields']}
  assert shown['item']['unseen']['test'] == pytest.approx(0.4)


def test_as_many_new_items_as_the_test_day_had_are_no_alarm(run, tmp_path):
  found = compared(read(run), day(5), tmp_path / 'log.parquet')
  assert found['fields'][1]['unseen']['live'] == pytest.approx(0.4)
  assert found['alarms'] == []


def test_many_more_new_items_are_an_alarm(run, tmp_path):
  found = compared(read(run), day(5, 0.7), tmp_path / 'log.parquet')
  assert any(
    "'item': 70.0% of the values are missing or not in the vocabulary or in no"
    ' train row' in line
    for line in found['alarms']
  )
  assert any("'item': PSI" in line for line in found['alarms'])

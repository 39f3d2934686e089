"""README, quick start and own data as they stand beat the table of rates.

In small: simulated rows, and few passes over them.
"""

from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from tests import walks

pytestmark = pytest.mark.slow

_README, _QUICK_START, _OWN_DATA = (
  'README.md',
  'docs/quick_start.md',
  'docs/your_data.md',
)
_STAGE_1 = ('--stage=pretrain', *walks.SHORT)
_SIMULATED = ('--simulated_rows=20000', *_STAGE_1)


def _record(path):
  return json.loads(path.read_text(encoding='utf-8'))


def test_quick_start_beats_the_table_of_rates(tmp_path):
  """Stage 1 of the first command; the notebook has all three stages."""
  line = walks.lines(_QUICK_START, '.venv/bin/rmtl')[0]
  line = line.removeprefix('.venv/bin/')
  assert line in ''.join(walks.blocks(_README, ''))
  shown = walks.run(tmp_path, line, {'train': _SIMULATED})
  page = (walks.ROOT / _QUICK_START).read_text(encoding='utf-8')
  for words in ('user rate x item rate', 'pre-trained', 'oracle'):
    assert words in page and words in shown
  run = tmp_path / 'runs/first'
  walks.assert_beats_rates(_record(run / 'metrics.json'), 'pretrain')


def _log() -> pa.Table:
  """A log with the columns of the pages' schemas."""
  log = rmtl_jax.simulate(20_000, seed=0).sort_by('timestamp')
  tags = [','.join(map(str, tags)) for tags in log['item_tags'].to_pylist()]
  return pa.table(
    {
      'session_id': log['session_id'],
      'timestamp': log['timestamp'],
      'user_id': log['user_id'],
      'item_id': log['item_id'],
      'category': log['brand'],
      'tags': tags,
      'price': log['price'],
      'clicked': log['click'],
      'bought': log['conversion'],
    }
  )


@pytest.fixture(scope='module')
def own_data(tmp_path_factory):
  """The directory after README's commands."""
  directory = tmp_path_factory.mktemp('own_data')
  log = _log()
  pq.write_table(log.slice(0, 18_000), directory / 'log.parquet')
  new = log.slice(18_000).drop_columns(['clicked', 'bought'])
  pq.write_table(new, directory / 'new.parquet')
  for line in walks.lines(_README):
    walks.run(directory, line, {'train': (*_STAGE_1, *walks.SINGLE)})
  return directory


def test_both_pages_say_the_same():
  commands = walks.lines(_README)
  assert [line.split()[1] for line in commands] == [
    *('init', 'prepare', 'train', 'predict')
  ]
  own = walks.lines(_OWN_DATA)
  assert {*commands} <= {*own}


def test_own_data_beats_the_table_of_rates(own_data):
  record = _record(own_data / 'runs/mine/metrics.json')
  walks.assert_beats_rates(record, 'pretrain')
  scored = pq.read_table(own_data / 'scored.parquet')
  assert scored.num_rows == pq.read_metadata(own_data / 'new.parquet').num_rows
  assert {'p_clicked', 'p_bought'} <= set(scored.column_names)

"""README, quick start and own data as they stand beat the table of rates.

In small: simulated rows, and few passes over them.
"""

from __future__ import annotations

import json
import re

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

import rmtl_jax
from tests import walks

_README, _QUICK_START, _OWN_DATA = (
  'README.md',
  'docs/quick_start.md',
  'docs/own_data.md',
)
_SIMULATED = ('--simulated_rows=20000', *walks.SHORT)


def _record(path):
  return json.loads(path.read_text(encoding='utf-8'))


@pytest.fixture(scope='module')
def quick_start(tmp_path_factory):
  """(directory, {command: what it printed}) after the page's commands."""
  directory = tmp_path_factory.mktemp('quick_start')
  text = ''.join(walks.blocks(_QUICK_START, ''))
  commands = re.findall(r'\brmtl (?:train|report|evaluate) .*', text)
  assert commands[0] == 'rmtl train --workdir=runs/first'
  assert commands[0] in ''.join(walks.blocks(_README, ''))
  printed = {}
  for line in commands:
    extra = walks.SHORT
    if line == commands[0]:
      extra = _SIMULATED
    elif '--data_dir=' in line:  # the same stage 1 again
      extra = (
        '--stage=pretrain',
        *walks.SHORT[1:],
        '--config.pretrain.max_epochs=1',
      )
    printed[line] = walks.run(directory, line, {'train': extra})
  return directory, printed


def test_quick_start_beats_the_table_of_rates(quick_start):
  record = _record(quick_start[0] / 'runs/first/metrics.json')
  walks.assert_beats_rates(record, 'pretrain')
  walks.assert_beats_rates(record, 'finetune')


def test_quick_start_leaves_what_its_tables_say(quick_start):
  directory, printed = quick_start
  page = (walks.ROOT / _QUICK_START).read_text(encoding='utf-8')
  shown = printed['rmtl train --workdir=runs/first']
  for words in ('user rate x item rate', 'pre-trained', 'control', 'oracle'):
    assert words in page and words in shown
  assert 'next: rmtl report --workdir=runs/first' in shown
  run = directory / 'runs/first'
  table = page.split('What the run left')[1].split('\n\n')[1]
  names = [row.split('|')[1] for row in table.splitlines()[2:]]
  named = set(re.findall(r'`([\w./]+)`', ' '.join(names)))
  assert {'metrics.json', 'members/'} < named
  for name in named - {'tracking/'}:  # for those who have a tracker
    assert (run / name).exists(), name
  assert (run / 'evaluation' / 'validation.json').is_file()
  assert (run / 'report' / 'report.html').is_file()


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
  """The directory after README's commands, with own_data.md's schema."""
  directory = tmp_path_factory.mktemp('own_data')
  log = _log()
  pq.write_table(log.slice(0, 18_000), directory / 'log.parquet')
  new = log.slice(18_000).drop_columns(['clicked', 'bought'])
  pq.write_table(new, directory / 'new.parquet')
  schema = walks.blocks(_OWN_DATA, 'json')[0]
  (directory / 'schema.json').write_text(schema, encoding='utf-8')
  extra = {'train': ('--stage=pretrain', *walks.SHORT)}
  for line in walks.lines(_README):
    walks.run(directory, line, extra)
  return directory


def test_both_pages_say_the_same():
  commands = walks.lines(_README)
  assert [line.split()[1] for line in commands] == [
    *('prepare', 'train', 'evaluate', 'report', 'predict')
  ]
  own = walks.lines(_OWN_DATA)
  assert own[:4] == [line for line in commands if ' report ' not in line]
  schemas = [
    json.loads(walks.blocks(page, 'json')[0]) for page in (_README, _OWN_DATA)
  ]
  assert schemas[0] == {
    key: value for key, value in schemas[1].items() if key != 'multi_valued'
  }


def test_own_data_beats_the_table_of_rates(own_data):
  for name in ('metrics.json', 'evaluation/test.json'):
    record = _record(own_data / 'runs/mine' / name)
    walks.assert_beats_rates(record, 'pretrain')
  scored = pq.read_table(own_data / 'scored.parquet')
  assert scored.num_rows == pq.read_metadata(own_data / 'new.parquet').num_rows
  assert {f'p_{task}' for task in walks.TASKS} <= set(scored.column_names)


def test_four_lines_of_python_beat_the_table_of_rates(own_data, tmp_path):
  """Those of README, on the same log as a CSV file; stage 1 alone."""
  (four, *_) = walks.blocks(_README, 'python')
  log = pq.read_table(own_data / 'log.parquet')
  pa_csv.write_csv(log, tmp_path / 'log.csv')
  space = {
    'rmtl_jax': rmtl_jax,
    'log': pa_csv.read_csv(tmp_path / 'log.csv'),
    'new': pq.read_table(own_data / 'new.parquet'),
  }
  fit = "Ranker(tasks=('clicked', 'bought'))"
  assert four.count(fit) == 1
  small = {'pretrain.max_epochs': 6, 'evaluation.bootstrap': 0}
  four = four.replace(fit, f'{fit[:-1]}, fine_tune=False, settings={small!r})')
  four = four.replace("'models/mine'", repr(str(tmp_path / 'mine')))
  exec(compile(four, _README, 'exec'), space)
  model = space['model']
  assert space['probabilities'].shape == (len(space['new']), 2)
  walks.assert_beats_rates(model.record_, 'pretrain')

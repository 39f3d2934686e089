"""What a row says of a task: null labels, masks, weights, sampled negatives."""

from __future__ import annotations

from rmtl_jax import types
from rmtl_jax.data import columns
from rmtl_jax.preparation import contract
from tests.preparation import raw_files

HEADER = 'user,item,ts,price,clicked,bought,importance,trust'
# Clicked, bought, the row's weight and that of its purchase, over and over.
CYCLE = ['1,1,1,2', '1,0,2,0.5', '0,0,1,1', '0,,1,1', ',0,3,1', '1,,1,1']


def run(tmp_path, click=None, buy=None, cycle=CYCLE, rows=30, **changes):
  lines = [HEADER]
  for i in range(rows):
    lines.append(f'u{i},i,{i * 10**7},1,{cycle[i % len(cycle)]}')
  tasks = [
    {'name': 'click', 'column': 'clicked', **(click or {})},
    {'name': 'buy', 'column': 'bought', 'after': 'click', **(buy or {})},
  ]
  schema = raw_files.write_schema(
    tmp_path / 'schema.json', tasks=tasks, **changes
  )
  return raw_files.run_table(tmp_path, lines, schema=schema)


def of_cycle(tmp_path, name):
  rows = raw_files.read(tmp_path, 'train')[: len(CYCLE)]
  return [row.get(name) for row in rows]


NULL = {'null': 'not_observed'}


def test_null_labels_are_not_observed(tmp_path):
  manifest = run(tmp_path, NULL, NULL)
  assert of_cycle(tmp_path, 'y_click') == [1, 1, 0, 0, 0, 1]
  assert of_cycle(tmp_path, 'w_click') == [1, 1, 1, 1, 0, 1]
  assert of_cycle(tmp_path, 'y_buy') == [1, 0, 0, 0, 0, 0]
  assert of_cycle(tmp_path, 'w_buy') == [1, 1, 1, 0, 1, 0]
  train = manifest.splits['train']
  assert (train.rows, train.observed) == (18, {'click': 15, 'buy': 12})
  assert train.positives == {'click': 9, 'buy': 3}
  contract.check(tmp_path / 'out')
  host = columns.read_split(tmp_path / 'out', manifest, 'train')
  assert host.sample_weight is not None and host.sampling is None
  assert host.sample_weight[:5].tolist() == [
    [1, 1],
    [1, 1],
    [1, 1],
    [1, 0],
    [0, 1],
  ]


def test_a_task_judged_on_the_positives_of_its_parent(tmp_path):
  run(tmp_path, NULL, NULL | {'only_after': True})
  assert of_cycle(tmp_path, 'w_buy') == [1, 1, 0, 0, 0, 0]
  assert of_cycle(tmp_path, 'y_buy') == [1, 0, 0, 0, 0, 0]
  contract.check(tmp_path / 'out')


def test_weights_of_the_row_and_of_a_task_multiply(tmp_path):
  run(tmp_path, NULL, NULL | {'weight': 'trust'}, weight='importance')
  assert of_cycle(tmp_path, 'w_click') == [1, 2, 1, 1, 0, 1]
  assert of_cycle(tmp_path, 'w_buy') == [2, 1, 1, 0, 3, 0]
  contract.check(tmp_path / 'out')


FULL = ['1,1,1,1', '1,0,1,1', '0,0,1,1']


def test_sampled_negatives_are_noted_and_weigh_what_can_not_be_corrected(
  tmp_path,
):
  manifest = run(tmp_path, {'negatives_kept': 0.25}, cycle=FULL)
  assert [t.weighted for t in manifest.tasks] == [False, False]
  assert manifest.feature_spec().sampling == types.Sampling(
    0, 0.25, (True, True)
  )
  assert 'w_buy' not in raw_files.read(tmp_path, 'train')[0]
  host = columns.read_split(tmp_path / 'out', manifest, 'train')
  assert host.sample_weight is None
  found = columns.metric_weight(host)
  assert found is not None
  assert found[:3].tolist() == [[1, 1], [1, 1], [4, 4]]
  # By a purchase: clicks don't imply one, so their rows get weights.
  (tmp_path / 'other').mkdir()
  run(tmp_path / 'other', buy={'negatives_kept': 0.5}, cycle=FULL)
  rows = raw_files.read(tmp_path / 'other', 'train')[:3]
  assert [row['w_click'] for row in rows] == [1, 2, 2]
  assert 'w_buy' not in rows[0]
  contract.check(tmp_path / 'other' / 'out')

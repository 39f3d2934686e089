"""Tasks of several kinds, from a schema to prepared data."""

import numpy as np
import pytest

from rmtl_jax.data import columns, manifest_file
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import contract as rules
from tests.preparation import raw_files

TASKS = [
  {'name': 'click', 'column': 'click'},
  {'name': 'like', 'column': 'like', 'after': 'click'},
  {
    'name': 'watch',
    'column': 'seconds',
    'kind': 'regression',
    'loss': 'zero_inflated_log_normal',
    'after': 'click',
  },
  {'name': 'stars', 'column': 'stars', 'kind': 'ordinal'},
  {'name': 'gain', 'column': 'gain', 'kind': 'regression', 'loss': 'huber'},
]
SCHEMA = {
  'user': 'u',
  'time': {'column': 't', 'unit': 'ms'},
  'categorical': ['u'],
  'tasks': TASKS,
}
HEADER = 'u,t,click,like,seconds,stars,gain'


def lines(**last):
  rows = [HEADER]
  for i in range(20):
    seconds = (0, 10, 0, 40)[i % 4]
    row = {'click': i % 2, 'like': 0, 'seconds': seconds, 'stars': 1 + i % 3}
    row |= {'gain': i - 6.5} | (last if i == 19 else {})
    rows.append(','.join(map(str, (f'u{i % 3}', i * 10**7, *row.values()))))
  return rows


def run(tmp_path, rows=None, tasks=TASKS, **options):
  path = raw_files.write_schema(
    tmp_path / 'schema.json', {**SCHEMA, 'tasks': tasks}
  )
  return raw_files.run_table(tmp_path, rows or lines(), schema=path, **options)


def test_statistics_of_train_rows_by_hand(tmp_path):
  manifest = run(tmp_path)
  by_name = {task.name: task for task in manifest.tasks}
  assert by_name['click'] == manifest_lib.Task('click')
  # Train has the first 12 rows: seconds 0, 10, 0, 40, three times.
  watch = by_name['watch'].statistics
  logs = np.log([10, 40])
  assert watch == pytest.approx(
    {
      'mean': 12.5,
      'deviation': np.std([0, 10, 0, 40]),
      'zeros': 0.5,
      'least': 0.0,
      'largest': 40.0,
      'log_mean': logs.mean(),
      'log_deviation': logs.std(),
      'deviance': (10 * np.log(0.8) + 40 * np.log(3.2)) / 4,
    }
  )
  assert by_name['stars'].levels == (1, 2, 3)
  assert by_name['stars'].statistics['shares'] == pytest.approx([1 / 3] * 3)
  assert by_name['gain'].statistics['least'] == -6.5
  train = manifest.splits['train']
  assert train.positives == {
    'click': 6,
    'like': 0,
    'watch': 6,
    'stars': 12,
    'gain': 12,
  }


def test_prepared_data_keep_their_contract_and_are_read(tmp_path):
  run(tmp_path)
  out = tmp_path / 'out'
  rules.check(out)
  manifest = manifest_file.read(out)
  assert [loss.kind for loss in manifest.losses] == [
    *('binary', 'binary', 'regression', 'ordinal', 'regression'),
  ]
  # `like` and `watch` both come after `click`.
  assert manifest.feature_spec().parents == (None, 0, 0, None, None)
  assert manifest.feature_spec().outputs == (1, 1, 3, 2, 1)
  train = columns.read_split(out, manifest, 'train')
  np.testing.assert_array_equal(train.labels[:4, 2], [0, 10, 0, 40])
  np.testing.assert_array_equal(train.labels[:2, 4], [-6.5, -5.5])

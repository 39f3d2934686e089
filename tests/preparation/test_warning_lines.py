"""What `rmtl prepare` warns of."""

import pytest

from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.preparation import prepare as prepare_lib

N = 100


def _warnings(tmp_path, labels, **task):
  """Of rows by the hour, split 6:2:2, that have such labels."""
  table = {
    'at': [1_714_521_600 + 3_600 * i for i in range(N)],
    'color': [('red', 'blue', 'green')[i % 3] for i in range(N)],
    'label': labels,
  }
  manifest = prepare_lib.prepare(
    prepare_config.PrepareConfig(
      source='table', data_dir=str(tmp_path / 'data')
    ),
    table=table,
    schema={
      'time': {'column': 'at', 'unit': 's'},
      'categorical': ['color'],
      'tasks': [{'name': 'bought', 'column': 'label'} | task],
    },
  )
  return [w for w in manifest.report['warnings'] if 'bought' in w]


@pytest.mark.parametrize(
  ('labels', 'told'),
  [
    ([i % 2 for i in range(N)], ''),
    ([i % 2 * (i < 80) for i in range(N)], 'no positive in test,'),
    ([i % 2 * (i < 60) for i in range(N)], 'no positive in validation and'),
    ([int(i % 2 or i >= 60) for i in range(N)], 'no negative in validation'),
  ],
)
def test_splits_of_one_class(tmp_path, labels, told):
  found = _warnings(tmp_path, labels)
  assert len(found) == bool(told)
  assert all(f"task 'bought' has {told}" in warning for warning in found)


def test_splits_without_a_label(tmp_path):
  labels = [i % 2 if i < 60 else None for i in range(N)]
  (warning,) = _warnings(tmp_path, labels, null='not_observed')
  assert warning.startswith(
    "task 'bought' has no label in validation and test, so nothing can be"
    ' measured there'
  )

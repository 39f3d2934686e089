from __future__ import annotations

import numpy as np

from rmtl_jax.data import columns
from rmtl_jax.simulator import log as simulated
from tests.preparation import raw_files


def test_simulated_log_keeps_its_probabilities(tmp_path):
  manifest = raw_files.run(
    tmp_path, 'simulated', '', simulated_rows=3000, seed=7
  )
  log = simulated.simulate(3000, 7)
  assert manifest.has_oracle
  assert manifest.options['simulated_digest'] == simulated.parameters_digest()
  assert (manifest.user_field, manifest.item_field) == ('user_id', 'item_id')
  assert manifest.report['raw_rows'] == log.num_rows
  train = columns.read_split(tmp_path / 'out', manifest, 'train')
  assert train.oracle is not None
  for task, name in enumerate(('click', 'conversion')):
    labels = log[name].to_numpy()[train.row_id]
    np.testing.assert_array_equal(train.labels[:, task], labels)
    truth = log[f'p_{name}'].to_numpy()[train.row_id]
    np.testing.assert_allclose(train.oracle[:, task], truth, rtol=1e-6)
  assert {f.name for f in manifest.fields} == {
    *simulated.CATEGORICAL,
    *simulated.MULTI_VALUED,
    *simulated.NUMERIC,
  }
  # The simulator's sessions are kept as they are.
  session = log['session_id'].to_numpy()[train.row_id]
  changes = np.flatnonzero(np.diff(session)) + 1
  np.testing.assert_array_equal(changes, train.starts[1:-1])

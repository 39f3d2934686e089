"""What tests of stages share."""

import pytest

from rmtl_jax.data import columns, manifest
from rmtl_jax.training import models, split_data
from tests import paper, tiny


@pytest.fixture(scope='module')
def shared(tmp_path_factory):
  """Train and validation rows on the device, and programs that runs share."""
  path = tmp_path_factory.mktemp('data')
  written = tiny.write_prepared(path, sessions=60)
  batch = paper.batch(lanes=4, lane_length=8, steps_per_dispatch=4)
  rows = [
    split_data.place(columns.read_split(path, written, name), batch)
    for name in manifest.SPLITS[:2]
  ]
  return (*rows, models.Models(written.feature_spec()))

"""Splits of one size on the device."""

import jax
import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.training import split_data
from tests import paper, tiny


def _read(path, **settings):
  manifest = manifest_file.read(path)
  batch = paper.batch(lanes=2, lane_length=8, **settings)
  return {
    name: split_data.read(path, manifest, name, batch)
    for name in manifest_lib.SPLITS
  }


def test_small_splits_are_filled_up_to_one_size(tmp_path):
  tiny.write_prepared(tmp_path, sessions=30)
  plain = _read(tmp_path)
  filled = split_data.of_one_size(plain)
  most = max(one.host.rows for one in plain.values())
  assert len({one.host.rows for one in plain.values()}) > 1
  for name, one in filled.items():
    rows = plain[name].host.rows
    assert one.host is plain[name].host
    for old, new in zip(
      jax.tree.leaves(plain[name].device),
      jax.tree.leaves(one.device),
      strict=True,
    ):
      assert len(new) == most
      np.testing.assert_array_equal(new[:rows], old)
      assert not np.any(new[rows:])
    beside = one.put(np.ones((rows, 2)))
    assert beside.shape == (most, 2) and beside.sum() == 2 * rows

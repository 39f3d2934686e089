"""The rows of a tiny problem as a split."""

import dataclasses

import jax
import numpy as np

from rmtl_jax.data import columns as columns_lib
from rmtl_jax.training import split_data
from tests import paper
from tests.updates import problem

BATCH = paper.batch(
  lanes=2, lane_length=problem.LANE_LENGTH, steps_per_dispatch=2
)
STARTS = np.concatenate([[0], np.cumsum(problem.LENGTHS)])


def make_split(**changes):
  """The split, with some of its columns changed."""
  found = jax.device_get(problem.columns())
  host = columns_lib.SplitColumns(
    found.inputs.categorical,
    found.inputs.multi_valued,
    found.inputs.numeric,
    labels=found.labels,
    session=np.repeat(np.arange(len(problem.LENGTHS)), problem.LENGTHS),
    user=None,
    row_id=np.arange(problem.ROWS),
    oracle=None,
    begins_time=np.ones(problem.ROWS, bool),
    starts=STARTS,
  )
  return split_data.place(dataclasses.replace(host, **changes), BATCH)


SPLIT = make_split()

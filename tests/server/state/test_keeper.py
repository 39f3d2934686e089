"""A state that models share which were trained one after the other."""

from __future__ import annotations

import contextlib
import copy
import dataclasses

import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.server.state import keeper as keeper_lib
from tests.serving import past_run


def newer(model, **changed):
  """The model, of data that differ in parts of the manifest."""
  found = copy.copy(model)
  found.manifest = dataclasses.replace(model.manifest, **changed)
  return found


def with_task(model, **changed):
  schema = copy.deepcopy(model.manifest.options['schema'])
  schema['tasks'][0] |= changed
  return newer(model, options=model.manifest.options | {'schema': schema})


@contextlib.contextmanager
def opened(model, place):
  with contextlib.closing(keeper_lib.Keeper(model, place)) as keeper:
    yield keeper


def test_a_newer_model_splits_at_its_own_times(past_model, place):
  """As after a restart with it."""
  model = rmtl_jax.load(past_model, warm_up=0)
  splits = model.manifest.splits
  end = splits['train'].end_ms
  later = dataclasses.replace(splits['train'], end_ms=end + 10_000)
  next_day = newer(model, splits=splits | {'train': later})
  times = [end // 1000 - 100, end // 1000 + 5]
  row = past_run.log(20).slice(0, 2).drop_columns(['visit', 'time'])
  with opened(model, place) as before, opened(next_day, place) as after:
    for keeper, visit, counts in (
      (before, 'new', {'added': 1, 'late': 1}),
      (after, 'newer', {'added': 2}),
    ):
      rows = row.append_column('visit', [[visit, visit]])
      found = keeper.append(rows.append_column('time', [times]))
      assert found == counts


@pytest.mark.parametrize(
  'changed',
  [{'null': 'not_observed'}, {'known_after_seconds': 30}],
)
def test_labels_that_mean_something_else_are_of_another_log(
  past_model, tmp_path, changed
):
  """What is counted of older rows would be read in another way."""
  model = rmtl_jax.load(past_model, warm_up=0)
  other = with_task(model, **changed)
  with opened(model, str(tmp_path)):
    pass
  with pytest.raises(types.InputError, match='state of another log'):
    keeper_lib.Keeper(other, str(tmp_path))

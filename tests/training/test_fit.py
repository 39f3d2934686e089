"""The loop over epochs, with steps that only count, on a tiny problem."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.data import batches
from rmtl_jax.runtime import checkpoints, progress
from rmtl_jax.training import context, epoch_loop, models
from rmtl_jax.updates import loop, state
from tests import paper
from tests.training import rows
from tests.updates import problem

CONFIG = config_values.from_dict(
  {
    'batch': {
      'lanes': rows.BATCH.lanes,
      'lane_length': rows.BATCH.lane_length,
      'steps_per_dispatch': rows.BATCH.steps_per_dispatch,
    },
    'checkpoint_minutes': 0.0,
  },
  paper.PAPER,
)


def count(kept, batch, key):
  """A step that counts rows and labels."""
  del key
  found = jnp.sum(batch.mask).astype(jnp.float32)
  labels = jnp.sum(jnp.where(batch.mask[..., None], batch.labels, 0.0))
  new = kept._replace(params=kept.params + found, step=kept.step + 1)
  return new, {'rows': found, 'labels': labels}


@functools.cache
def program():
  return loop.make_loop(count)


class Counting:
  """Two arms that count; the value of an epoch is given."""

  def __init__(self, epochs, split=None, values=None, config=CONFIG, **changes):
    split = split or rows.SPLIT
    self.context = context.Context(
      config,
      ('click', 'conversion'),
      split,
      split,
      models.Models(problem.SPEC),
      progress.Progress(quiet=True),
      **changes,
    )
    self.arms = {
      name: epoch_loop.Arm(
        program(),
        state.ActorState(jnp.float32(0), (), (), jnp.int32(0)),
        jnp.float32(0),
        [-np.inf],
      )
      for name in ('constant', 'finetune')
    }
    self.values = values or list(range(1, epochs + 1))
    self.seen = []
    self.stopping = epoch_loop.Stopping(
      self.validate, lambda arms: False, epochs, lambda value: f'{value}'
    )

  def validate(self, name, arm):
    self.seen.append((name, arm.epoch + 1))
    assert arm.totals == {
      'rows': problem.ROWS,
      'labels': float(np.sum(self.context.train.host.labels)),
      'nonfinite': 0.0,
    }
    return self.values[arm.epoch], {'loss': arm.totals['rows']}, ['counted']

  def __call__(self, stage='finetune'):
    return epoch_loop.fit(self.context, stage, self.arms, self.stopping)


def steps(epoch):
  return batches.Epoch(rows.STARTS, (0, 3), epoch, rows.BATCH).steps


def test_every_arm_sees_every_row_of_every_epoch():
  one = Counting(3)
  found = one()
  names = ('constant', 'finetune')
  assert one.seen == [(name, e) for e in (1, 2, 3) for name in names]
  for name in names:
    assert found[name].epoch == 3
    assert found[name].params == 3 * problem.ROWS
    arm = one.arms[name]
    assert int(arm.state.step) == sum(steps(e) for e in (1, 2, 3))
  assert [(e['stage'], e['epoch']) for e in one.context.history] == one.seen


def test_the_best_epoch_is_kept():
  one = Counting(4, values=[1.0, 3.0, 3.0, 2.0])
  found = one()['finetune']
  assert found.epoch == 2 and found.params == 2 * problem.ROWS
  last = Counting(2, values=[3.0, 1.0])
  last.stopping = last.stopping._replace(keeps_last=True)
  assert last()['finetune'].epoch == 2


def test_a_stage_ends_when_it_is_done():
  one = Counting(9)
  one.stopping = one.stopping._replace(
    is_done=lambda arms: arms['finetune'].epoch == 2
  )
  assert one()['constant'].epoch == 2


def test_an_epoch_soon_after_a_checkpoint_saves_no_other(tmp_path):
  """An epoch of a small log takes less time than its checkpoint."""
  store = checkpoints.Store(tmp_path)
  config = config_values.from_dict({'checkpoint_minutes': 1.0}, CONFIG)
  one = Counting(3, config=config, store=store)
  one.context.saved_at -= 30.0
  one()
  store.wait()
  newest = store.restore(lambda record: None)
  assert newest is not None and newest.record['epoch'] == 1
  again = Counting(3, store=store)
  assert again()['finetune'].epoch == 3 and len(again.seen) == 4
  store.close()


@pytest.mark.parametrize('calls', [1, 2, 3])
def test_a_stage_resumes_inside_of_an_epoch(tmp_path, calls):
  """Every start dispatches a few times; nothing is seen twice."""
  store, starts, seen = checkpoints.Store(tmp_path), 0, []
  while True:
    left = [calls]

    def interrupted(left=left):
      left[0] -= 1
      return 15 if left[0] < 0 else 0

    one = Counting(2, store=store, interrupted=interrupted)
    try:
      found = one()
      break
    except epoch_loop.Interrupted as stop:
      assert stop.signal_number == 15
      starts += 1
      store.wait()
    finally:
      seen += one.seen
  assert starts >= 1
  assert seen == [(n, e) for e in (1, 2) for n in ('constant', 'finetune')]
  assert found['finetune'].params == 2 * problem.ROWS
  assert [(e['stage'], e['epoch']) for e in one.context.history] == seen
  store.close()


def test_a_loss_that_is_not_finite_names_the_epoch():
  labels = np.array(rows.SPLIT.host.labels)
  plan = batches.Epoch(rows.STARTS, (0, 3), 1, rows.BATCH).plan
  labels[int(plan.row[3, 0, 0])] = np.nan
  with pytest.raises(FloatingPointError, match=r'^constant epoch 1: .* step 4'):
    Counting(1, rows.make_split(labels=labels))()


def test_only_its_own_checkpoint_is_taken_up(tmp_path):
  """Not one of an earlier stage."""
  store = checkpoints.Store(tmp_path)
  Counting(2, store=store)('pretrain')
  store.wait()
  other = Counting(2, store=store)
  other()
  assert len(other.seen) == 4
  store.close()
  newest = max(int(path.name) for path in tmp_path.iterdir())
  assert newest // 10**12 == 3
  jax.block_until_ready(other.arms['finetune'].state)

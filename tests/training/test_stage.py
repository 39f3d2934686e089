"""The loop over passes, with a stage that only counts."""

import jax
import pytest

from rmtl_jax.config import values as config_values
from rmtl_jax.runtime import checkpoints, progress
from rmtl_jax.training import context, models, saved, stage, trainer
from tests.training import test_trainer
from tests.updates import problem

CONFIG = config_values.from_dict(
  {
    'batch': {
      'lanes': test_trainer.BATCH.lanes,
      'lane_length': test_trainer.BATCH.lane_length,
      'steps_per_dispatch': test_trainer.BATCH.steps_per_dispatch,
    },
    'checkpoint_minutes': 0.0,
  }
)


class Counting:
  """A stage of some epochs, with a step that counts rows."""

  name = 'pretrain'

  def __init__(
    self, epochs, split=test_trainer.SPLIT, config=CONFIG, **changes
  ):
    self.context = context.Context(
      config,
      ('click', 'conversion'),
      split,
      split,
      models.Models(problem.SPEC),
      progress.Progress(quiet=True),
      **changes,
    )
    self.epochs, self.epoch, self.rows = epochs, 0, []
    self.state, self.start = test_trainer.counter(), trainer.START

  @property
  def goes_on(self):
    return self.epoch < self.epochs

  @property
  def rows_left(self):
    return (self.epochs - self.epoch) * problem.ROWS

  @property
  def steps(self):
    return len(test_trainer.PLANS[2].row)

  def passes(self):
    program = test_trainer.trail_program()
    plan, key = test_trainer.PLANS[2], jax.random.key(0)
    label = f'count {self.epoch + 1}'
    return [
      stage.Pass(
        'count', label, program, self.state, plan, key, start=self.start
      )
    ]

  def validate(self, one, new_state, sums, seconds):
    self.state, self.start = new_state, trainer.START
    self.rows.append(sums['rows'])
    self.context.record(stage=one.name, epoch=self.epoch + 1, seconds=seconds)

  def end_epoch(self):
    self.epoch += 1

  def cut(self, one, state, position):
    self.state, self.start = state, position

  def to_save(self):
    record = {'position': self.start._asdict()}
    return saved.StageCheckpoint(
      self.epoch, self.state, record, self.start.dispatches
    )

  def resume(self, record, arrays):
    self.epoch, self.state = record['epoch'], arrays
    self.start = trainer.Position(**record['position'])

  def summary(self):
    yield f'{self.epoch} epochs'

  def result(self):
    return {'count': saved.Result(int(self.state.step), self.epoch)}


def test_a_stage_is_trained_to_its_end():
  one = Counting(3)
  assert stage.run(one) == {'count': saved.Result(3 * one.steps, 3)}
  assert one.rows == [problem.ROWS] * 3
  assert [entry['epoch'] for entry in one.context.history] == [1, 2, 3]


def test_passes_that_end_soon_after_a_checkpoint_save_no_other(tmp_path):
  """A pass over a small log takes less time than its checkpoint."""
  store = checkpoints.Store(tmp_path)
  config = config_values.from_dict({'checkpoint_minutes': 1.0}, CONFIG)
  one = Counting(3, config=config, store=store)
  one.context.saved_at -= 30.0
  stage.run(one)
  store.wait()
  newest = store.restore(lambda record: None)
  assert newest is not None and newest.record['epoch'] == 1
  again = Counting(3, store=store)
  assert stage.run(again)['count'].epoch == 3
  assert again.rows == [problem.ROWS] * 2
  store.close()


def test_every_epoch_is_saved_and_an_ended_stage_stays_ended(tmp_path):
  store = checkpoints.Store(tmp_path)
  stage.run(Counting(2, store=store))
  store.wait()
  again = Counting(2, store=store)
  assert stage.run(again)['count'].epoch == 2 and not again.rows
  longer = Counting(3, store=store)
  assert stage.run(longer)['count'] == saved.Result(3 * longer.steps, 3)
  assert longer.rows == [problem.ROWS]
  assert [entry['epoch'] for entry in longer.context.history] == [1, 2, 3]
  store.close()


@pytest.mark.parametrize('calls', [1, 2, 3])
def test_a_stage_goes_on_inside_of_a_pass(tmp_path, calls):
  """Every start dispatches a few times; nothing is seen twice."""
  store, starts = checkpoints.Store(tmp_path), 0
  while True:
    left = [calls]

    def interrupted(left=left):
      left[0] -= 1
      return 15 if left[0] < 0 else 0

    one = Counting(2, store=store, interrupted=interrupted)
    try:
      found = stage.run(one)
      break
    except trainer.Interrupted:
      starts += 1
      store.wait()
  assert starts >= 1
  assert found['count'] == saved.Result(2 * one.steps, 2)
  assert one.rows[-1] == problem.ROWS
  store.close()


def test_a_loss_that_is_not_finite_names_the_pass():
  split = test_trainer.with_a_nan()
  with pytest.raises(FloatingPointError, match=r'^count 1: .* at step 4'):
    stage.run(Counting(1, split))


def test_only_its_own_checkpoint_is_taken_up(tmp_path):
  """Not one of another stage."""
  store = checkpoints.Store(tmp_path)
  stage.run(Counting(2, store=store))
  store.wait()
  other = Counting(2, store=store)
  other.name = 'finetune'
  stage.run(other)
  assert other.rows == [problem.ROWS] * 2
  store.close()
  newest = max(int(path.name) for path in tmp_path.iterdir())
  assert newest // 10**12 == 3

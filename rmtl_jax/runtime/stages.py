"""The stages of a run: their order, what they train and what they leave."""

from __future__ import annotations

from typing import NamedTuple


class StageRecord(NamedTuple):
  """A stage.

  Attributes:
    name: in flags, keys and checkpoints of the unfinished stage.
    number: tells its random keys, shuffles and checkpoints from the others'.
    leaves: names of its finished checkpoints and of its records of history.
    trains_critics: whether its parameters are the critics', not the actor's.
    holds_critics: whether its state has the critics beside the actor.
    keeps_moments: whether Adam's moments are kept beside what it leaves, for
      runs that start from it.
    keeps_last: whether the parameters of its last epoch are kept, where those
      of another are the best.
  """

  name: str
  number: int
  leaves: tuple[str, ...]
  trains_critics: bool = False
  holds_critics: bool = False
  keeps_moments: bool = False
  keeps_last: bool = False


# In the order in which a run trains them.
RECORDS = {
  record.name: record
  for record in (
    StageRecord('pretrain', 1, ('pretrain',), keeps_moments=True),
    StageRecord(
      'critic', 2, ('critic',), trains_critics=True, keeps_moments=True
    ),
    StageRecord(
      'finetune',
      3,
      ('constant', 'finetune'),
      holds_critics=True,
      keeps_last=True,
    ),
  )
}
ORDER = tuple(RECORDS)
# The actors that they leave, in the order in which reports show them.
ACTORS = ('pretrain', 'constant', 'finetune')
# What all of them leave.
LEAVES = tuple(name for one in RECORDS.values() for name in one.leaves)
NUMBERS = {name: one.number for one in RECORDS.values() for name in one.leaves}


def number(name: str) -> int:
  """The number of the stage that leaves `name`.

  >>> number('pretrain'), number('constant')
  (1, 3)
  """
  return NUMBERS[name]


def trains_critics(name: str) -> bool:
  """Whether what a stage leaves as `name` are critics, not an actor.

  >>> trains_critics('critic'), trains_critics('finetune')
  (True, False)
  """
  return any(
    one.trains_critics for one in RECORDS.values() if name in one.leaves
  )

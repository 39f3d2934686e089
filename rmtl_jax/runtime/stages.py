"""The stages of a run: their order, numbers and results."""

from __future__ import annotations

# In the order in which a run trains them, with the names of their finished
# checkpoints and of their records of history.
LEFT_BY = {
  'pretrain': ('pretrain',),
  'critic': ('critic',),
  'finetune': ('constant', 'finetune'),
}
ORDER = tuple(LEFT_BY)
# The actors that they leave, in the order in which reports show them.
ACTORS = ('pretrain', 'constant', 'finetune')
# Stages that leave parameters.
LEAVES = tuple(name for names in LEFT_BY.values() for name in names)
# They separate random keys, shuffles and checkpoints of stages.
NUMBERS = {
  name: number
  for number, names in enumerate(LEFT_BY.values(), 1)
  for name in names
}

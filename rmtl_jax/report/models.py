"""The models of a run's record, as its tables and pictures show them.

Rows come from the record: stages that a later version adds stand here under
their own names.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from rmtl_jax.weighting import registry

Record = Mapping[str, Any]
BASELINE, ORACLE = 'user rate x item rate', 'oracle'
PAPER = "paper's model"
_LONG = 30
# What the run trains, what bounds it from below and from above.
TRAINED, BOUND = 'trained', 'bound'


class Model(NamedTuple):
  """A row of a table: a model, or several that are the same.

  Attributes:
    names: short, of all of them.
    note: which epoch it is; ''.
    kind: TRAINED or BOUND.
    metrics: {task: metrics}, of calibrated predictions where there are some.
  """

  names: tuple[str, ...]
  note: str
  kind: str
  metrics: Record

  @property
  def label(self) -> str:
    """All of it on one line."""
    name = ' = '.join(self.names)
    return f'{name} ({self.note})' if self.note else name

  @property
  def folded(self) -> str:
    """The label with a long one's note on a line of its own."""
    if not self.note or len(self.label) <= _LONG:
      return self.label
    return f'{" = ".join(self.names)}\n  ({self.note})'


def stage_names(record: Record) -> dict[str, str]:
  """Short names of the models after each actor stage."""
  return {
    'pretrain': 'pre-trained',
    'constant': 'control',
    'finetune': registry.short(record['weighting']),
  }


def models(record: Record) -> list[Model]:
  """The rows of a table, from the rates to the oracle.

  Between them: the paper's model, and what was kept after stage 1, of the
  control and of RMTL. Models with the same figures are one: an arm that keeps
  epoch 0 is the pre-trained model.
  """
  found: list[Model] = []
  if 'baseline' in record:
    found.append(Model((BASELINE,), '', BOUND, record['baseline']))
  if 'paper_model' in record:
    of: Record = record['paper_model']
    name = f'{PAPER}: {of["backbone"]}'
    found.append(Model((name,), '', BOUND, of['metrics']))
  found += _merged(_kept(record))
  if 'oracle' in record:
    found.append(Model((ORACLE,), '', BOUND, record['oracle']))
  return found


def _kept(record: Record) -> Iterator[Model]:
  names = stage_names(record)
  used = {**record['stages'], **record.get('calibrated', {})}
  for stage, metrics in used.items():
    note = '' if stage == 'pretrain' else _note(record, stage)
    yield Model((names.get(stage, stage),), note, TRAINED, metrics)


def _note(record: Record, stage: str) -> str:
  """'kept: epoch 2'; of an ensemble every member's."""
  epochs = record.get('best_epoch', {}).get(stage)
  if epochs is None:
    return ''
  every = sorted({epochs} if isinstance(epochs, int) else set(epochs))
  noun = 'epoch' if len(every) == 1 else 'epochs'
  return f'kept: {noun} {", ".join(map(str, every))}'


def _merged(rows: Iterable[Model]) -> list[Model]:
  """Rows of the same figures as one, in the place of the first."""
  found: list[Model] = []
  for row in rows:
    for i, other in enumerate(found):
      if row.metrics == other.metrics:
        note = row.note or other.note
        found[i] = other._replace(names=other.names + row.names, note=note)
        break
    else:
      found.append(row)
  return found


def same(record: Record, *stages: str) -> bool:
  """Whether stages have left the same model, by its figures."""
  first, *others = (record['stages'].get(stage) for stage in stages)
  return all(other == first for other in others)

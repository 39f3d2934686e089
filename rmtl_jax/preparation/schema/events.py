"""The events of a log that has no impressions, as a schema declares them."""

from __future__ import annotations

import dataclasses
from typing import Any

from rmtl_jax.preparation.schema import part as part_lib

KEY = 'events'


@dataclasses.dataclass(frozen=True)
class Events:
  """The meaning of a log's events.

  Attributes:
    column: of the kind of event.
    impressions: kinds that are impressions.
    labels: kinds that make a task positive, by task.
  """

  column: str
  impressions: tuple[str, ...]
  labels: dict[str, tuple[str, ...]]

  @property
  def kinds(self) -> tuple[str, ...]:
    """All declared kinds of event, each once; others count for nothing."""
    labels = (kind for kinds in self.labels.values() for kind in kinds)
    return tuple(dict.fromkeys((*self.impressions, *labels)))

  def to_dict(self) -> dict[str, Any]:
    """The JSON that `parse_events` reads."""
    return {
      'column': self.column,
      'impressions': list(self.impressions),
      'labels': {task: list(kinds) for task, kinds in self.labels.items()},
    }


def parse_events(part: part_lib.Part) -> Events | None:
  """The key `events`; None if the schema has none.

  Raises:
    types.InputError: a key that is missing, unknown or wrong.
  """
  if part.record.get(KEY) is None:
    return None
  entry = part.group(KEY)
  entry.known(('column', 'impressions', 'labels'))
  labels = entry.group('labels')
  found = Events(
    entry.text('column'),
    entry.texts('impressions'),
    {str(task): labels.texts(task) for task in labels.record},
  )
  for key, kinds in {'impressions': found.impressions, **found.labels}.items():
    if not kinds:
      entry.fail(f'{key}: expected at least one kind of event')
  if not found.labels:
    entry.fail('labels: expected {"task": ["kind of event"]}')
  for task, kinds in found.labels.items():
    if both := sorted({*kinds} & {*found.impressions}):
      labels.fail(f'{task}: {both[0]!r} is among "impressions" too')
  return found

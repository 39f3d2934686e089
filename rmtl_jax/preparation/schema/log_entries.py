"""A schema's keys for the log itself: times, keys of rows and events."""

from __future__ import annotations

import dataclasses

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import part as part_lib

CLOCK = ('unit', 'zone', 'format')
# A missing label is not a negative; it is refused without this.
NOT_OBSERVED = 'not_observed'


def parse_clock(
  part: part_lib.Part, default: times.Time | None = None
) -> times.Time:
  """The form of the times of a column.

  Args:
    part: an object with keys of CLOCK among others.
    default: what holds where no key is given.

  Raises:
    types.InputError: a unit, a zone or a pattern that there is not.
  """
  default = default or times.Time()
  pattern = part.optional('format') or ''
  unit = part.text('unit', 'iso' if pattern else default.unit, times.UNITS)
  zone = part.text('zone', default.zone)
  if zone != times.UTC and (fault := times.zone_fault(zone)):
    part.fail(f'zone: {fault}')
  if pattern and unit != 'iso':
    part.fail(f'format: only "unit": "iso" is text, and this is {unit!r}')
  if pattern and (fault := times.format_fault(pattern)):
    part.fail(f'format: {fault}')
  if unit == default.unit and 'format' not in part.record:
    pattern = default.format
  return times.Time(unit, zone, pattern)


def parse_role(part: part_lib.Part, role: str) -> str | None:
  """The column of `session`, `user` or `item`: its name, or an object."""
  if part.record.get(role) is None:
    return None
  entry = part.group(role)
  entry.known(('column', 'null'))
  return entry.text('column')


def parse_nulls(part: part_lib.Part) -> dict[str, tuple[str, ...]]:
  """Values that mean a missing one, by column.

  Args:
    part: the schema; its keys, fields and tasks may have `null`.

  Raises:
    types.InputError: no list of texts, or two lists for one column.
  """
  roles = ('session', 'user', 'item')
  entries = [part.group(role) for role in roles if part.record.get(role)]
  for key in manifest_lib.KINDS:
    entries += part.entries(key)
  for task in part.entries('tasks'):
    # `time_column` has a column and missing values of its own.
    timed = 'time_column' in task.record
    entries.append(task.group('time_column') if timed else task)
  found: dict[str, tuple[str, ...]] = {}
  for entry in entries:
    if entry.record.get('null', NOT_OBSERVED) == NOT_OBSERVED:
      continue
    column = entry.text('column')
    # An empty value is always missing.
    values = tuple(v for v in entry.texts('null', empty=True) if v)
    if found.setdefault(column, values) != values:
      entry.fail(f'null: column {column!r} has another list elsewhere')
  return {column: values for column, values in found.items() if values}


@dataclasses.dataclass(frozen=True)
class Events:
  """The meaning of the events of a log that has no impressions.

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


def parse_events(part: part_lib.Part) -> Events | None:
  """The key `events`; None if the schema has none.

  Raises:
    types.InputError: a key that is missing, unknown or wrong.
  """
  if part.record.get('events') is None:
    return None
  entry = part.group('events')
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

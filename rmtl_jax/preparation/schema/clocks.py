"""Formats of times in a schema."""

from __future__ import annotations

from typing import Any

from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import part as part_lib

KEYS = ('unit', 'zone', 'format')


def parse_clock(
  part: part_lib.Part, default: times.Time | None = None
) -> times.Time:
  """The form of the times of a column.

  Args:
    part: an object with keys of KEYS among others.
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


def clock_entries(clock: times.Time, default: times.Time) -> dict[str, Any]:
  """The keys that `parse_clock` reads, with the same default."""
  entries = {'unit': clock.unit}
  if {clock.zone, default.zone} != {times.UTC}:
    entries['zone'] = clock.zone
  if clock.format:
    entries['format'] = clock.format
  return entries

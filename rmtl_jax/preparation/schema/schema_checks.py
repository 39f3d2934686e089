"""Refuses combinations of a schema's keys."""

from __future__ import annotations

import collections
import math

from rmtl_jax.preparation.schema import fields, table_schema, vocabularies
from rmtl_jax.preparation.schema import part as part_lib


def check(schema: table_schema.TableSchema, part: part_lib.Part) -> None:
  """Refuses a schema with contradictory keys."""
  if schema.time is None:
    for task in schema.tasks:
      if task.known_after_ms is not None:
        part.fail(
          f'tasks: {task.name!r}: known_after_seconds: needs "time" in the'
          ' schema'
        )
  if len(schema.delimiter) > 1 or schema.delimiter in tuple('"\r\n'):
    part.fail(f'delimiter: {schema.delimiter!r} is not one character')
  if not schema.fields:
    part.fail('expected at least one categorical, multi_valued or numeric')
  _check_missing(schema, part)
  _check_events(schema, part)
  _check_roles(schema, part)
  vocabularies.check_owners(schema.fields, part)
  counts = collections.Counter(f.name.lower() for f in schema.fields)
  labels = {task.column: task.name for task in schema.tasks}
  for field in schema.fields:
    if counts[field.name.lower()] > 1:
      part.fail(f'field {field.name!r} occurs twice; give one another "name"')
    if field.column in labels:
      part.fail(
        f'column {field.column!r} is a feature and the label of'
        f' {labels[field.column]!r}'
      )


def _check_events(
  schema: table_schema.TableSchema, part: part_lib.Part
) -> None:
  """Refuses events that can't be joined to impressions."""
  if schema.events is None:
    return
  if schema.time is None or schema.item is None:
    part.fail('events: needs "time" and "item" in the schema')
  if schema.session is None and schema.user is None:
    part.fail('events: needs "session" or "user" in the schema')


def _check_missing(
  schema: table_schema.TableSchema, part: part_lib.Part
) -> None:
  """Refuses numbers and text that CSV would split, as neither is compared."""
  for text in schema.missing:
    try:
      number = not math.isnan(float(text))
    except ValueError:
      number = False
    if number:
      part.fail(f'missing: {text!r} is a number, expected other text')
    if any(sign in text for sign in (schema.delimiter or ',', *'"\r\n')):
      part.fail(
        f'missing: {text!r} has a delimiter, a quote or a line end in it'
      )


def _check_roles(schema: table_schema.TableSchema, part: part_lib.Part) -> None:
  """Refuses a column that is needed as text and as number."""
  texts = {schema.session, schema.user, schema.item}
  texts |= {
    f.column
    for f in schema.fields
    if f.kind != 'numeric' and fields.FROM_TIME not in f.details
  }
  numbers = {schema.time, *(task.column for task in schema.tasks)} - {None}
  if schema.events is not None:
    numbers -= {schema.events.column}
  numbers |= {c for task in schema.tasks for c in task.weights}
  numbers |= {f.column for f in schema.fields if f.kind == 'numeric'}
  for column in sorted(numbers & (texts - {None})):
    part.fail(
      f'column {column!r} is named as a key or category and as a number, time,'
      ' weight or label; expected one of the two'
    )

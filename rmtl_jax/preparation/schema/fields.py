"""The features of a schema."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.raw import times
from rmtl_jax.preparation.schema import part as part_lib

# Key of the parts of the time that are fields, and of a field's part in its
# details.
FROM_TIME = 'from_time'
# Key of a field's file of vectors, in its details too.
VECTORS = 'vectors'
_MOST_VALUES = 2**10
_OF_KIND = {
  'categorical': (VECTORS,),
  'multi_valued': ('separator', 'shares', 'max_values'),
  'numeric': ('transform', 'bins'),
}


def parse_fields(
  part: part_lib.Part, time: str | None
) -> tuple[source.SourceField, ...]:
  """The fields by kind, in their order.

  Args:
    time: column of the time, or None.

  Raises:
    types.InputError: a key of a field that is missing, unknown or wrong.
  """
  found: list[source.SourceField] = []
  for kind in manifest_lib.KINDS:
    found += [_field(entry, kind) for entry in part.entries(kind)]
    if kind == 'categorical':
      found += _from_time(part, time)
  names = [field.name for field in found if field.kind == 'categorical']
  for field in found:
    if field.name.lower().startswith(source.AS_OF_PREFIX):
      part.fail(
        f'field {field.name!r}: such names are those of features of the past;'
        ' give it another "name"'
      )
    owner = field.vocabulary_owner
    if owner and owner not in names:
      part.fail(
        f'field {field.name!r}: shares: {owner!r} is no categorical field;'
        f' there are {", ".join(names) or "none"}'
      )
  return tuple(found)


def _from_time(
  part: part_lib.Part, time: str | None
) -> list[source.SourceField]:
  """Categories of the local time, which describe neither user nor item."""
  fields = []
  for name in part.texts(FROM_TIME):
    if name not in times.PARTS:
      part.fail(f'{FROM_TIME}: {name!r} is not one of {", ".join(times.PARTS)}')
    if time is None:
      part.fail(f'{FROM_TIME}: needs "time" in the schema')
    details = {'side': source.NO_SIDE, FROM_TIME: name}
    fields.append(
      source.SourceField(name, 'categorical', time, details=details)
    )
  return fields


def is_of_time(field: manifest_lib.Field | source.SourceField) -> bool:
  """Whether a field is a part of the time, of which a log has few values."""
  is_part = field.name in times.PARTS
  has_no_side = field.details.get('side') == source.NO_SIDE
  return FROM_TIME in field.details or (is_part and has_no_side)


def _field(entry: part_lib.Part, kind: str) -> source.SourceField:
  entry.known(('column', 'name', 'null', *_OF_KIND[kind]))
  column = entry.text('column')
  details: dict[str, Any] = {}
  transform, bins, owner, width = '', 0, '', 0
  if VECTORS in entry.record:
    given = entry.group(VECTORS)
    given.known(('file', 'key', 'vector', 'trained'))
    details[VECTORS] = {
      'file': given.text('file'),
      'key': given.text('key', column),
      'vector': given.text('vector', 'vector'),
      'trained': given.flag('trained'),
    }
  if kind == 'multi_valued':
    details['separator'] = entry.text('separator', ',')
    owner = entry.optional('shares') or ''
    width = entry.whole('max_values', 1, _MOST_VALUES) or 0
  if kind == 'numeric':
    transform = entry.text('transform', 'standard', source.TRANSFORMS)
    if transform == 'bins':
      bins = entry.whole('bins', 2, 1000) or 10
  return source.SourceField(
    entry.name(column), kind, column, transform, bins, details, owner, width
  )


def with_vector_files(
  fields: Sequence[source.SourceField], base: pathlib.Path
) -> tuple[tuple[source.SourceField, ...], tuple[pathlib.Path, ...]]:
  """The fields with the full paths of their files of vectors, and the files.

  Args:
    fields: of a schema.
    base: directory that relative paths start from.
  """
  found, files = [], []
  for field in fields:
    if vectors := field.details.get(VECTORS):
      path = base / vectors['file']
      details = field.details | {VECTORS: vectors | {'file': str(path)}}
      field = dataclasses.replace(field, details=details)
      files.append(path)
    found.append(field)
  return tuple(found), tuple(files)

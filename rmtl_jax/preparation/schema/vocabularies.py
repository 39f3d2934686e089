"""Vocabularies of fields in a schema."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

from rmtl_jax.preparation import source
from rmtl_jax.preparation.schema import part as part_lib

# In a field's details too.
VECTORS, NEWEST_FIRST = 'vectors', 'newest_first'
# Keys of a multi-valued field.
MULTI_VALUED = ('shares', NEWEST_FIRST, 'max_values')
_MOST_VALUES = 2**10


def categorical_details(entry: part_lib.Part) -> dict[str, Any]:
  """Vectors of a categorical field, as its details.

  Raises:
    types.InputError: names the key.
  """
  details: dict[str, Any] = {}
  if VECTORS in entry.record:
    given = entry.group(VECTORS)
    given.known(('file', 'key', 'vector', 'trained'))
    details[VECTORS] = {
      'file': given.text('file'),
      'key': given.text('key', entry.text('column')),
      'vector': given.text('vector', 'vector'),
      'trained': given.flag('trained'),
    }
  return details


def multi_valued(entry: part_lib.Part) -> dict[str, Any]:
  """Shared vocabulary and length of a list, as arguments of SourceField.

  Raises:
    types.InputError: names the key.
  """
  found: dict[str, Any] = {}
  if 'max_values' in entry.record:
    found['width'] = entry.whole('max_values', 1, _MOST_VALUES)
  shares = entry.optional('shares')
  if shares is not None:
    found['vocabulary_owner'] = shares
  if entry.flag(NEWEST_FIRST):
    if shares is None:
      entry.fail('newest_first: means a sequence, which "shares" a vocabulary')
    found['details'] = {NEWEST_FIRST: True}
  return found


def entries(field: source.SourceField) -> dict[str, Any]:
  """The keys that restore a field's `SourceField`, with its details."""
  found: dict[str, Any] = {}
  if field.vocabulary_owner:
    found['shares'] = field.vocabulary_owner
  if field.width:
    found['max_values'] = field.width
  return found


def check_owners(
  fields: Sequence[source.SourceField], part: part_lib.Part
) -> None:
  """Refuses a list that shares the vocabulary of no categorical field."""
  names = [field.name for field in fields if field.kind == 'categorical']
  for field in fields:
    owner = field.vocabulary_owner
    if owner and owner not in names:
      part.fail(
        f'field {field.name!r}: shares: {owner!r} is no categorical field;'
        f' there are {", ".join(names) or "none"}'
      )


def with_places(
  fields: Sequence[source.SourceField], base: pathlib.Path
) -> tuple[tuple[source.SourceField, ...], tuple[pathlib.Path, ...]]:
  """The fields with the places of their files of vectors, and the files.

  Args:
    fields: of a schema.
    base: directory that relative places start from.
  """
  found, files = [], []
  for field in fields:
    if asked := field.details.get(VECTORS):
      path = base / asked['file']
      details = field.details | {VECTORS: asked | {'file': str(path)}}
      field = dataclasses.replace(field, details=details)
      files.append(path)
    found.append(field)
  return tuple(found), tuple(files)

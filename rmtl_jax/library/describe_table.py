"""Guesses the schema of a table for `rmtl prepare`.

The guess is that of `rmtl init`; what a person says about roles, labels and
fields replaces it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.guess import guess
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.schema import part

ROLES = ('session', 'user', 'item', 'time')
_LISTS = ('from_time', *manifest_lib.KINDS, 'exclude', 'missing')
_FEWEST_ROWS = 30
Entry = str | Mapping[str, Any]


class Described(NamedTuple):
  """The schema of a table.

  Attributes:
    schema: the JSON of rmtl_jax.preparation.schema.
    left_out: reasons, by the columns that are not used.
    lines: a summary for the user, at most five lines.
  """

  schema: dict[str, Any]
  left_out: dict[str, str]
  lines: tuple[str, ...] = ()


def describe(
  table: pa.Table,
  tasks: Sequence[str] | Mapping[str, Entry],
  own: Mapping[str, Any] | None = None,
  index: Collection[str] = (),
) -> Described:
  """Guesses the roles of a table's columns.

  Args:
    table: the rows.
    tasks: as for `Ranker`.
    own: entries of a schema that replace the guess, as for `Ranker`.
    index: columns that were the index of a frame, such as numbers of its rows;
      they are fields only if `own` names them.

  Raises:
    types.InputError: too few rows, or columns that are missing.
  """
  names = [str(name) for name in table.column_names]
  if len(table) < _FEWEST_ROWS:
    raise types.InputError(
      f'table: has too few rows, {len(table)}; expected at least {_FEWEST_ROWS}'
    )
  own = {
    key: [value]
    if key in _LISTS and isinstance(value, str | Mapping)
    else value
    for key, value in (own or {}).items()
    if not (key in _LISTS and value is None)
  }
  labels, excluded = _tasks(tasks), own.pop('exclude', ())
  fields = {
    kind: [_entry(kind, one) for one in own.pop(kind)]
    for kind in manifest_lib.KINDS
    if kind in own
  }
  given = {
    role: _column(own[role])
    for role in ROLES
    if role in own and (own[role] is None or _column(own[role]))
  }
  weights = {own.get('weight'), *(one.get('weight') for one in labels)} - {None}
  named = {str(one['column']) for kind in fields.values() for one in kind}
  guess.check_columns('tasks', [one['column'] for one in labels], names)
  for what, columns in (
    *((role, [column]) for role, column in given.items() if column),
    ('weight', weights),
    ('exclude', excluded),
    *((kind, [one['column'] for one in fields[kind]]) for kind in fields),
  ):
    guess.check_columns(what, columns, names)
  apart = {*weights, *excluded, *(n for n in index if n not in named)}
  found = guess.guess(
    sample_lib.of_table(table),
    [str(entry['column']) for entry in labels],
    given,
    apart - {*given.values()},
  )
  outcomes = {
    value
    for entry in labels
    for key, value in entry.items()
    if key in ('column', 'time_column')
  }
  left_out = {
    one.name: one.why.replace(f'--label={one.name}', 'naming it in tasks')
    for one in found.columns
    if one.role == 'left out' and one.name not in {*named, *weights, *outcomes}
  }
  schema = dict(found.schema)
  ids = {schema.get('user'), schema.get('item')}
  for kind in manifest_lib.KINDS:
    kept = []
    for one in schema.pop(kind, []):
      entry = _entry(kind, one)
      column = entry['column']
      if column in named or column in outcomes:
        continue
      if kind not in fields or column in ids:
        kept.append(entry)
      else:
        left_out[column] = f'not listed in {kind}'
    if kept or fields.get(kind):
      schema[kind] = kept + fields.get(kind, [])
  if isinstance(own.get('time'), Mapping) and 'time' in schema:
    guessed, time = schema['time'], own.pop('time')
    if 'unit' in time:
      guessed = {'column': guessed['column']}
    schema['time'] = {**guessed, **time}
  schema |= {
    key: list(value) if key in _LISTS else value for key, value in own.items()
  }
  schema = {key: value for key, value in schema.items() if value is not None}
  if not schema.get('from_time', True):
    del schema['from_time']
  schema['tasks'] = _completed(labels, found.schema.get('tasks', []))
  return Described(schema, left_out, _lines(found, schema, left_out))


def _completed(
  tasks: Sequence[Mapping[str, Any]], guessed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
  """Tasks with the funnel, and with the words of a positive.

  Their kind is not guessed: a stray 2 among labels is an error, no number.
  """
  by_column = {one['column']: one for one in guessed if 'column' in one}
  columns = {one['name']: one.get('column') for one in guessed}
  names = dict[str, str]()  # earlier tasks, by column
  completed = []
  for entry in tasks:
    found = by_column.get(entry.get('column'), {})
    extra = {'positive': found['positive']} if 'positive' in found else {}
    parent = names.get(str(columns.get(found.get('after'), '')))
    if parent:
      extra['after'] = parent
    completed.append({**extra, **entry})
    names[entry['column']] = entry['name']
  return completed


def _lines(
  found: guess.Guess, schema: Mapping[str, Any], left_out: Mapping[str, str]
) -> tuple[str, ...]:
  """The note on what is lacking, keys, fields and columns that are left out."""
  lines = [f'{note[0].upper()}{note[1:]}.' for note in found.notes]
  why = {one.name: one.why for one in found.columns}
  keys = [
    f'{role} {column} ({why[column]})'
    for role in ROLES
    if (column := _column(schema.get(role))) is not None
  ]
  lines.append('; '.join(keys) or 'no keys')
  lines.append(
    '; '.join(
      f'{kind} {", ".join(_entry(kind, one)["column"] for one in schema[kind])}'
      for kind in manifest_lib.KINDS
      if kind in schema
    )
  )
  if left_out:
    shown = '; '.join(f'{name} ({why})' for name, why in left_out.items())
    lines.append(f'left out: {shown}')
  return tuple(lines)


def _column(role: Any) -> str | None:
  return role.get('column') if isinstance(role, Mapping) else role


def _tasks(
  wanted: Sequence[str] | Mapping[str, Entry],
) -> list[dict[str, Any]]:
  if isinstance(wanted, str):
    wanted = (wanted,)
  expected = "tasks: expected columns of labels, as ('click',)"
  if not isinstance(wanted, Iterable):
    raise types.InputError(f'{expected}, found {wanted!r:.80}')
  entries = []
  pairs = (
    wanted.items()
    if isinstance(wanted, Mapping)
    else [(column, column) for column in wanted]
  )
  for name, given in pairs:
    if not (isinstance(name, str) and isinstance(given, str | Mapping)):
      odd = given if isinstance(name, str) else name
      raise types.InputError(f'{expected}, found {odd!r:.80}')
    entry = {'column': given} if isinstance(given, str) else dict(given)
    entry.setdefault('column', name)
    entries.append({'name': part.plain(name), **entry})
  if not entries:
    raise types.InputError(expected)
  return entries


def of_labels(tasks: Sequence[str] | Mapping[str, Entry]) -> list[str]:
  """The columns of labels of `tasks`, which may be empty."""
  return [str(one['column']) for one in _tasks(tasks)] if len(tasks) else []


def _entry(kind: str, entry: Any) -> dict[str, Any]:
  if not isinstance(entry, str | Mapping):
    raise types.InputError(
      f'{kind}: expected columns (texts) or entries of a schema, found'
      f' {entry!r:.80}'
    )
  return {'column': entry} if isinstance(entry, str) else dict(entry)

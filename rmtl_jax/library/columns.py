"""What the columns of a table mean: a schema for `rmtl prepare`.

The guess is that of `rmtl init`; what a person says about roles, labels and
fields replaces it.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.guess import guess
from rmtl_jax.preparation.guess import sample as sample_lib
from rmtl_jax.preparation.schema import part

# What a role is when the table decides.
AUTO = 'auto'
ROLES = ('session', 'user', 'item', 'time')
_LISTS = ('from_time', *manifest_lib.KINDS, 'exclude', 'missing')
_FEWEST_ROWS = 10
Entry = str | Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What a person says about the columns: parameters of `Ranker`, as there.

  A text or an entry in place of a list of these is a list of one; `from_time`
  and kinds of fields that are None are guessed.
  """

  tasks: Sequence[str] | Mapping[str, Entry]
  session: str | None = AUTO
  user: str | None = AUTO
  item: str | None = AUTO
  time: str | None = AUTO
  time_unit: str | None = None
  time_zone: str | None = None
  from_time: Sequence[str] | None = None
  categorical: Sequence[Entry] | None = None
  numeric: Sequence[Entry] | None = None
  multi_valued: Sequence[Entry] | None = None
  exclude: Sequence[str] = ()
  missing: Sequence[str] = ()
  weight: str | None = None

  def __post_init__(self):
    for name in _LISTS:
      given = getattr(self, name)
      if isinstance(given, str | Mapping):  # else it would be taken apart
        object.__setattr__(self, name, (given,))
      elif given is None and name in ('exclude', 'missing'):
        object.__setattr__(self, name, ())


@dataclasses.dataclass(frozen=True)
class Described:
  """What the columns of a table mean.

  Attributes:
    schema: the JSON of rmtl_jax.preparation.schema.
    left_out: reasons, by the columns that are not used.
    lines: what a person should read, at most five lines.
  """

  schema: dict[str, Any]
  left_out: dict[str, str]
  lines: tuple[str, ...] = ()


def describe(
  table: pa.Table, wanted: Wanted, index: Collection[str] = ()
) -> Described:
  """Guesses what the columns of a table mean.

  Args:
    table: the rows.
    wanted: what a person says about them.
    index: columns that were the index of a frame, such as numbers of its rows;
      they are fields only if `wanted` names them.

  Raises:
    types.InputError: too few rows, or a column that is missing.
  """
  names = [str(name) for name in table.column_names]
  if len(table) < _FEWEST_ROWS:
    raise types.InputError(
      f'table: has {len(table)} rows, expected at least {_FEWEST_ROWS}'
    )
  tasks = _tasks(wanted.tasks, names)
  given = {r: getattr(wanted, r) for r in ROLES if getattr(wanted, r) != AUTO}
  for role, column in given.items():
    if column is not None:
      _check(role, column, names)
  weights = {wanted.weight, *(entry.get('weight') for entry in tasks)} - {None}
  for column in weights:
    _check('weight', column, names)
  for column in wanted.exclude:
    _check('exclude', column, names)
  fields = _named_fields(wanted, names)
  named = {str(one['column']) for own in fields.values() for one in own}
  labels = {
    value
    for entry in tasks
    for key, value in entry.items()
    if key in ('column', 'time_column')
  }
  apart = {*weights, *wanted.exclude, *(n for n in index if n not in named)}
  found = guess.guess(
    sample_lib.of_table(table),
    [str(entry['column']) for entry in tasks if 'column' in entry],
    given,
    apart - {*given.values()},
  )
  left_out = {
    one.name: one.why
    for one in found.columns
    if one.role == 'left out' and one.name not in {*named, *weights, *labels}
  }
  schema = dict(found.schema)
  ids = {schema.get('user'), schema.get('item')}
  for kind in manifest_lib.KINDS:
    guessed = [_entry(one) for one in schema.pop(kind, [])]
    own = fields.get(kind)
    kept = []
    for entry in guessed:
      column = entry['column']
      if column in named or column in labels:
        continue
      if own is None or column in ids:
        kept.append(entry)
      else:
        left_out[column] = f'not listed in {kind}'
    if kept or own:
      schema[kind] = kept + (own or [])
  _name_apart([schema[k] for k in manifest_lib.KINDS if k in schema])
  if 'time' in schema:
    time = schema['time']
    if wanted.time_unit:
      time = {'column': time['column'], 'unit': wanted.time_unit}
    if wanted.time_zone is not None:
      time = {**time, 'zone': wanted.time_zone}
    schema['time'] = time
  if wanted.from_time is not None:
    schema.pop('from_time', None)
  if wanted.from_time:
    schema['from_time'] = list(wanted.from_time)
  schema['tasks'] = _completed(tasks, found.schema.get('tasks', []))
  if wanted.missing:
    schema['missing'] = list(wanted.missing)
  if wanted.weight is not None:
    schema['weight'] = wanted.weight
  return Described(schema, left_out, _lines(found, schema, left_out))


def _completed(
  tasks: Sequence[Mapping[str, Any]], guessed: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
  """Tasks with the funnel, and with the words of a positive.

  Their kind is not guessed: a stray 2 among labels is an error, no number.
  """
  by_column = {one['column']: one for one in guessed if 'column' in one}
  columns = {one['name']: one.get('column') for one in guessed}
  names = dict[str, str]()  # of tasks that stand before, by their columns
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
      f'{kind} {", ".join(_entry(one)["column"] for one in schema[kind])}'
      for kind in manifest_lib.KINDS
      if kind in schema
    )
  )
  if left_out:
    shown = '; '.join(f'{name} ({why})' for name, why in left_out.items())
    lines.append(f'left out: {shown}')
  return tuple(lines)


def _column(role: Any) -> str | None:
  return role['column'] if isinstance(role, Mapping) else role


def _named_fields(
  wanted: Wanted, names: Sequence[str]
) -> dict[str, list[dict[str, Any]]]:
  """The entries of the kinds of field that a person lists."""
  found: dict[str, list[dict[str, Any]]] = {}
  for kind in manifest_lib.KINDS:
    entries = getattr(wanted, kind)
    if entries is None:
      continue
    for one in entries:
      if not isinstance(one, str | Mapping):
        raise types.InputError(
          f'{kind}: expected columns (texts) or entries of a schema, found'
          f' {one!r:.80}'
        )
      _check(kind, str(_entry(one).get('column')), names)
    found[kind] = [_entry(one) for one in entries]
  return found


def _tasks(
  wanted: Sequence[str] | Mapping[str, Entry], names: Sequence[str]
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
    entries.append({'name': _name(name), **entry})
    _check('tasks', entry['column'], names)
  if not entries:
    raise types.InputError(expected)
  return entries


def _entry(entry: Entry) -> dict[str, Any]:
  found = {'column': entry} if isinstance(entry, str) else dict(entry)
  return {'name': _name(str(found.get('column'))), **found}


def _name(column: str) -> str:
  """A field's name, which names files, from that of its column."""
  name = part.spaced(column).replace(' ', '_').lstrip('.-')
  return part.shortened(name) or 'field'


def _name_apart(kinds: Iterable[Sequence[dict[str, Any]]]) -> None:
  """Numbers fields whose columns would give them one name."""
  taken: set[str] = set()
  for entry in (entry for entries in kinds for entry in entries):
    name, number = entry['name'], 1
    while entry['name'].lower() in taken:
      number += 1
      entry['name'] = f'{name}_{number}'
    taken.add(entry['name'].lower())


def _check(what: str, column: str, names: Sequence[str]) -> None:
  if column not in names:
    near = difflib.get_close_matches(str(column), names, n=2)
    hint = f' (did you mean {" or ".join(map(repr, near))}?)' if near else ''
    raise types.InputError(
      f'{what}: the table has no column {column!r:.80}{hint}; it has'
      f' {", ".join(names):.500}'
    )

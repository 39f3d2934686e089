"""What the columns of a table mean: a schema for `rmtl prepare`.

Roles that are not named are found by the columns' names and types where only
one column can have them; features are the other columns, by their types.
"""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NoReturn

import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import parquet, tables
from rmtl_jax.preparation.schema import part

# What a role is when the table decides.
AUTO = 'auto'
ROLES = ('session', 'user', 'item', 'time')
# Names of columns without case, blanks and signs, by role.
_NAMES = {
  'session': ('session', 'sessionid', 'usersession', 'visit', 'visitid'),
  'user': (
    'uid',
    *(
      name + end
      for name in ('user', 'customer', 'visitor', 'client', 'member')
      for end in ('', 'id')
    ),
  ),
  'item': tuple(
    name + end
    for name in ('item', 'product', 'article', 'video', 'movie', 'sku', 'ad')
    for end in ('', 'id')
  ),
  'time': (
    *('time', 'timestamp', 'ts', 'datetime', 'date', 'eventtime'),
    *('eventtimestamp', 'timestampms', 'timems'),
  ),
}
# Seconds since 1970 of the years 2000 and 2100.
_YEAR_2000, _YEAR_2100 = 946_684_800, 4_102_444_800
_PER_SECOND = {'s': 1, 'ms': 1_000, 'us': 1_000_000, 'ns': 1_000_000_000}
# Integers under such names are categories, not numbers, and so are integers of
# few values in many times as many rows.
_ID = re.compile(r'(ids?|code|category|type|class|group|(cat|feat)\d+)$')
_FEW_VALUES, _ROWS_PER_VALUE = 32, 20
_LISTS = ('from_time', *manifest_lib.KINDS, 'exclude', 'missing')
Entry = str | Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Wanted:
  """What a person says about the columns: parameters of `Ranker`, as there.

  A text or an entry in place of a list of these is a list of one.
  """

  tasks: Sequence[str] | Mapping[str, Entry]
  session: str | None = AUTO
  user: str | None = AUTO
  item: str | None = AUTO
  time: str | None = AUTO
  time_unit: str | None = None
  time_zone: str | None = None
  from_time: Sequence[str] = ()
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
      elif given is None and name not in manifest_lib.KINDS:
        object.__setattr__(self, name, ())


@dataclasses.dataclass(frozen=True)
class Described:
  """What the columns of a table mean.

  Attributes:
    schema: the JSON of rmtl_jax.preparation.schema.
    left_out: why, by the columns that are nothing of it.
  """

  schema: dict[str, Any]
  left_out: dict[str, str]


def describe(
  table: pa.Table, wanted: Wanted, index: Collection[str] = ()
) -> Described:
  """Says what the columns of a table mean.

  Args:
    index: columns that were the index of a frame, such as numbers of its rows;
      they are fields only if `wanted` names them.

  Raises:
    types.InputError: a column that is missing, or a role that no column or
      more than one could have; says what to pass.
  """
  if not len(table):
    raise types.InputError('table: has no rows')
  names = table.column_names
  for name in names:
    if names.count(name) > 1:
      raise types.InputError(f'table: column {name!r} stands twice')
  tasks = _tasks(wanted.tasks, names)
  # What is learnt, and how much of it: no features.
  labels = {entry['column'] for entry in tasks}
  weights = [wanted.weight, *(entry.get('weight') for entry in tasks)]
  for column in {one for one in weights if one is not None}:
    _check('weight', column, names)
    labels.add(column)
  given = {role: getattr(wanted, role) for role in ROLES}
  for role, column in given.items():
    if column not in (AUTO, None):
      _check(role, column, names)
  roles: dict[str, str | None] = {
    role: column for role, column in given.items() if column != AUTO
  }
  for role in ROLES:
    if role not in roles:
      others = [n for n in names if n not in {*labels, *roles.values()}]
      roles[role] = _find(role, table, others, wanted.exclude)
  time = roles['time']
  if time is None and wanted.time == AUTO:
    _ask(names, 'time: which column has the times of the rows', 'time')
  keys = {roles['session'], roles['user']}
  if keys == {None} and AUTO in (wanted.session, wanted.user):
    _ask(
      names,
      'session: which column has session ids, or (user=) users whose rows are'
      ' cut into sessions',
      'session',
      'session=None, user=None',
    )
  fields, left_out = _fields(table, wanted, roles, labels, index)
  schema: dict[str, Any] = {
    role: roles[role] for role in ROLES[:3] if roles[role] is not None
  }
  if time is not None:
    unit = wanted.time_unit or _unit(table, time)
    schema['time'] = {'column': time, 'unit': unit}
    if wanted.time_zone is not None:
      schema['time']['zone'] = wanted.time_zone
  if wanted.from_time:
    schema['from_time'] = list(wanted.from_time)
  schema |= fields
  schema['tasks'] = tasks
  if wanted.missing:
    schema['missing'] = list(wanted.missing)
  if wanted.weight is not None:
    schema['weight'] = wanted.weight
  return Described(schema, left_out)


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


def _find(
  role: str, table: pa.Table, names: Sequence[str], excluded: Collection[str]
) -> str | None:
  """The only column that looks like the role; None if none does."""
  found = [n for n in names if _bare(n) in _NAMES[role]]
  if role == 'time':
    temporal = [n for n in names if _is_time(table.schema.field(n).type)]
    both = [n for n in found if n in temporal]
    # A date of birth beside numbers called timestamp is no time of the rows.
    found = both if len(both) == 1 else [*dict.fromkeys([*found, *temporal])]
  if len(found) > 1:  # what is no feature is the role only if nothing else is
    found = [n for n in found if n not in excluded] or found
  if len(found) > 1:
    _ask(found, f'{role}: which of the columns that look like it is it', role)
  return found[0] if found else None


def _unit(table: pa.Table, column: str) -> str:
  """The unit of a column of times, if its values leave no doubt."""
  kind = table.schema.field(column).type
  if _is_time(kind) or parquet.is_text(kind):
    return 'iso'
  try:
    ends = pc.call_function('min_max', [table[column]]).as_py()
    low, high = float(ends['min']), float(ends['max'])
  except (pa.ArrowException, TypeError):  # no numbers, or none at all
    raise types.InputError(
      f'time: column {column!r} of type {kind} holds no times: expected times,'
      ' dates, text or numbers'
    ) from None
  for unit, per_second in _PER_SECOND.items():
    if _YEAR_2000 <= low / per_second <= high / per_second < _YEAR_2100:
      return unit
  raise types.InputError(
    f'time: column {column!r} goes from {low:g} to {high:g}, which tells no'
    " unit: pass time_unit='s', 'ms', 'us', 'ns', 'd' or 'iso'"
  )


def _fields(
  table: pa.Table,
  wanted: Wanted,
  roles: Mapping[str, str | None],
  labels: set[str],
  index: Collection[str],
) -> tuple[dict[str, Any], dict[str, str]]:
  """Entries of the fields by kind, and the columns that are left out."""
  names = table.column_names
  for column in wanted.exclude:
    _check('exclude', column, names)
  given = {kind: getattr(wanted, kind) for kind in manifest_lib.KINDS}
  fields: dict[str, list[dict[str, Any]]] = {}
  named: set[str] = set()
  for kind, entries in given.items():
    entries = () if entries is None else entries
    for one in entries:
      if not isinstance(one, str | Mapping):
        raise types.InputError(
          f'{kind}: expected columns (texts) or entries of a schema, found'
          f' {one!r:.80}'
        )
    fields[kind] = [_entry(one) for one in entries]
    for entry in fields[kind]:
      _check(kind, str(entry.get('column')), names)
      named.add(str(entry['column']))
  keys = {roles['user'], roles['item']}
  used = labels | {c for c in roles.values() if c is not None}
  left_out: dict[str, str] = {}
  for column in map(str, names):
    if column in named or column in used - keys:
      continue
    kind = 'categorical' if column in keys else _kind(table, column)
    if column in wanted.exclude:
      left_out[column] = 'excluded'
    elif column in index and column not in keys:
      left_out[column] = "the frame's index, which no parameter names"
    elif kind not in given:
      left_out[column] = kind
    elif given[kind] is None:
      fields[kind].append(_entry(column))
    else:
      left_out[column] = f'not among {kind}'
  _name_apart(fields)
  return dict(fields), left_out


def _kind(table: pa.Table, column: str) -> str:
  """The kind of field that a column's type makes, or why it makes none."""
  kind = table.schema.field(column).type
  if table[column].null_count == len(table):
    return 'holds nothing'
  if pa.types.is_boolean(kind) or parquet.is_text(kind):
    return 'categorical'
  if pa.types.is_integer(kind):
    few = min(_FEW_VALUES, len(table) // _ROWS_PER_VALUE)
    if _ID.search(_bare(column)) or len(table[column].unique()) <= few:
      return 'categorical'
    return 'numeric'
  if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
    return 'numeric'
  if tables.is_list(kind) and not pa.types.is_nested(kind.value_type):
    return 'multi_valued'
  return f'is of type {kind}'


def _entry(entry: Entry) -> dict[str, Any]:
  found = {'column': entry} if isinstance(entry, str) else dict(entry)
  return {'name': _name(str(found.get('column'))), **found}


def _name(column: str) -> str:
  """A field's name, which names files, from that of its column."""
  name = part.spaced(column).replace(' ', '_').lstrip('.-')
  return part.shortened(name) or 'field'


def _name_apart(fields: Mapping[str, list[dict[str, Any]]]) -> None:
  """Numbers fields whose columns would give them one name."""
  taken: set[str] = set()
  for entry in (entry for entries in fields.values() for entry in entries):
    name, number = entry['name'], 1
    while entry['name'].lower() in taken:
      number += 1
      entry['name'] = f'{name}_{number}'
    taken.add(entry['name'].lower())


def _is_time(kind: pa.DataType) -> bool:
  return pa.types.is_timestamp(kind) or pa.types.is_date(kind)


def _bare(name: str) -> str:
  return re.sub(r'[\W_]+', '', name).lower()


def _check(what: str, column: str, names: Sequence[str]) -> None:
  if column not in names:
    near = difflib.get_close_matches(str(column), names, n=2)
    hint = f' (did you mean {" or ".join(map(repr, near))}?)' if near else ''
    raise types.InputError(
      f'{what}: the table has no column {column!r:.80}{hint}; it has'
      f' {", ".join(names):.500}'
    )


def _ask(
  names: Sequence[str], question: str, role: str, without: str = ''
) -> NoReturn:
  raise types.InputError(
    f"{question}? Pass {role}='COLUMN', one of {', '.join(names):.500}; or"
    f' {without or role + "=None"} if there is none'
  )

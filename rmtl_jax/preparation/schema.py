"""The JSON schema of a user's own table, for the source `table`.

    {
      "session": "visit_id",
      "user": "customer",
      "item": "article",
      "domain": "page",
      "time": {"column": "shown_at", "unit": "ms"},
      "categorical": [
        "customer",
        "article",
        "page",
        {"column": "Shop Department", "name": "department"}
      ],
      "multi_valued": [{"column": "tags", "separator": "|"}],
      "numeric": [
        {"column": "price", "transform": "log1p"},
        {"column": "age", "transform": "bins", "bins": 10},
        "discount"
      ],
      "tasks": [
        {"name": "click", "column": "clicked", "known_after_seconds": 0},
        {"name": "conversion", "column": "bought", "after": "click"}
      ],
      "delimiter": ",",
      "missing": ["NULL", "N/A"]
    }

`session` names the column of session ids, unique over the whole log. Without it
(or where it is empty) rows of one `user` form sessions that end with a gap
above the idle time. `time.unit` is `ms`, `s` or `us` since 1970, or `iso` for
text such as `2024-05-01 12:30:00` (UTC unless it says otherwise) and for
Parquet's own times. A field's `name` is its column's unless given. `separator`
splits text; Parquet lists need none. `transform` is `standard` (the default),
`log1p` or `bins`. Labels of a binary task are 0 or 1; `kind`
(`binary`, `regression` or `ordinal`), `loss` and its settings say what else a
task may be (docs/task_kinds.md): `{"name": "watch", "column": "seconds",
"kind": "regression", "loss": "huber", "delta": 30}`. `levels` lists those of an
ordinal label, which are else found in the log. `after` names the task that a
positive implies; `known_after_seconds` is the delay after its row at which a
label is known at the latest: as-of features of group `feedback` need it, and a
label of train and validation that is unknown before its split's end is not
observed. Without it all are, and labels count after the idle timeout. `domain`
names the column of the domain (scenario) that a row is of, a categorical field:
the backbones pepnet and star need it.

What a row says of a task (docs/rows.md): `"null": "not_observed"` takes empty
labels, of rows that don't count for the task; `"only_after": true` judges the
task on the positives of `after` alone; `weight`, of a task or of all beside
`tasks`, names a column of weights >= 0; `negatives_kept` is the rate at which
the task's negatives were kept when the log was sampled.
`missing` lists texts that mean a missing value, as empty text does, in columns
of text and among the values of a multi-valued field. `session`, `user`, `item`,
`domain`, `delimiter`, `missing` and any kind of field can be left out.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import pathlib
import re
from typing import Any

from rmtl_jax import json_files, types
from rmtl_jax.config import kinds
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source

UNITS = ('ms', 's', 'us', 'iso')
_LONGEST_S = 10**9
_NAME = re.compile(r'[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}')
_KEYS = (
  'session',
  'user',
  'item',
  'domain',
  'time',
  'categorical',
  'multi_valued',
  'numeric',
  'tasks',
  'weight',
  'delimiter',
  'missing',
)
_TASK_KEYS = (
  'column',
  'name',
  'after',
  'known_after_seconds',
  'kind',
  'loss',
  'levels',
  'null',
  'only_after',
  'weight',
  'negatives_kept',
)


@dataclasses.dataclass(frozen=True)
class TableSchema:
  """The columns of a user's own table.

  Attributes:
    time: column of the time.
    unit: of the time, one of UNITS.
    fields: features; a multi-valued one has its separator in `details`.
    tasks: labels, parents before children.
    session: column of session ids, or None.
    user: column of users, or None; one of the two is there.
    item: column of items, or None.
    domain: column of the domain, or None.
    delimiter: between a CSV file's values.
    missing: texts that mean a missing value.
    weight: column of the weight of a row's every label, or None.
  """

  time: str
  unit: str
  fields: tuple[source.SourceField, ...]
  tasks: tuple[source.SourceTask, ...]
  session: str | None = None
  user: str | None = None
  item: str | None = None
  domain: str | None = None
  delimiter: str = ','
  missing: tuple[str, ...] = ()
  weight: str | None = None

  def to_dict(self) -> dict[str, Any]:
    """The JSON that `parse` turns into this schema."""
    record: dict[str, Any] = {
      'time': {'column': self.time, 'unit': self.unit},
      'delimiter': self.delimiter,
      'tasks': [
        {'name': t.name, 'column': t.column}
        | ({'after': t.after} if t.after is not None else {})
        | _kind_entries(t)
        | _known_after(t)
        | _rows_of(t, self.weight)
        for t in self.tasks
      ],
    }
    for role in ('session', 'user', 'item', 'domain', 'weight'):
      if getattr(self, role) is not None:
        record[role] = getattr(self, role)
    if self.missing:
      record['missing'] = list(self.missing)
    for kind in manifest_lib.KINDS:
      record[kind] = [_entry(f) for f in self.fields if f.kind == kind]
    return record

  def categorical_of(self, column: str | None) -> str | None:
    """Name of the categorical field made of a column, or None."""
    names = [
      field.name
      for field in self.fields
      if field.kind == 'categorical' and field.column == column
    ]
    return names[0] if names else None


def read(path: pathlib.Path) -> TableSchema:
  """Reads a schema file.

  Raises:
    types.InputError: no such file, not JSON, or a key that is missing, unknown
      or contradicts another; names the key.
  """
  return parse(json_files.read(path), str(path))


def parse(record: Any, path: str = 'schema') -> TableSchema:
  """Turns the decoded JSON into a TableSchema.

  Args:
    record: as in the module's docstring.
    path: what to call it in errors.

  Raises:
    types.InputError: as for `read`.
  """
  part = _Part(record, path)
  part.known(_KEYS)
  time = part.group('time')
  time.known(('column', 'unit'))
  schema = TableSchema(
    time=time.text('column'),
    unit=time.text('unit', 'ms', UNITS),
    fields=tuple(
      field for kind in manifest_lib.KINDS for field in _fields(part, kind)
    ),
    tasks=_tasks(part),
    session=part.optional('session'),
    user=part.optional('user'),
    item=part.optional('item'),
    domain=part.optional('domain'),
    delimiter=part.text('delimiter', ','),
    missing=part.texts('missing'),
    weight=part.optional('weight'),
  )
  _check(schema, part)
  return schema


def schema_of_manifest(manifest: manifest_lib.Manifest) -> TableSchema | None:
  """The schema that data were prepared with; None for other sources.

  Raises:
    types.InputError: as for `parse`.
  """
  if manifest.source != 'table' or 'schema' not in manifest.options:
    return None
  return parse(manifest.options['schema'], 'manifest.json: options: schema')


def _fields(part: _Part, kind: str) -> list[source.SourceField]:
  fields = []
  for entry in part.entries(kind):
    column = entry.text('column')
    details: dict[str, Any] = {}
    transform, bins = '', 0
    if kind == 'categorical':
      entry.known(('column', 'name'))
    elif kind == 'multi_valued':
      entry.known(('column', 'name', 'separator'))
      details['separator'] = entry.text('separator', ',')
    else:
      entry.known(('column', 'name', 'transform', 'bins'))
      transform = entry.text('transform', 'standard', source.TRANSFORMS)
      bins = entry.count('bins', 10) if transform == 'bins' else 0
    fields.append(
      source.SourceField(
        entry.name(column), kind, column, transform, bins, details
      )
    )
  return fields


def _entry(field: source.SourceField) -> dict[str, Any]:
  entry: dict[str, Any] = {'name': field.name, 'column': field.column}
  if field.transform:
    entry['transform'] = field.transform
  if field.bins:
    entry['bins'] = field.bins
  return entry | field.details


def _known_after(task: source.SourceTask) -> dict[str, float]:
  after = task.known_after_ms
  return {} if after is None else {'known_after_seconds': after / 1000}


def _kind_entries(task: source.SourceTask) -> dict[str, Any]:
  if kinds.is_default(task.kind, task.loss):
    return {}
  levels = {'levels': list(task.levels)} if task.levels else {}
  return {'kind': task.kind, 'loss': task.loss} | dict(task.settings) | levels


def _kind(entry: _Part) -> dict[str, Any]:
  """What a task's entry says of its kind, as arguments of a SourceTask."""
  kind = entry.text('kind', kinds.BINARY, kinds.KINDS)
  possible = kinds.losses_of(kind)
  loss = entry.text('loss', possible[0], possible)
  settings = kinds.LOSSES.find(loss).settings
  entry.known((*_TASK_KEYS, *settings))
  given = {key: entry.positive(key) for key in settings if key in entry.record}
  levels: tuple[int, ...] = ()
  if 'levels' in entry.record:
    if kind != kinds.ORDINAL:
      entry.fail('levels: only an ordinal task has levels')
    levels = entry.levels('levels')
  return {
    'kind': kind,
    'loss': loss,
    'settings': tuple(given.items()),
    'levels': levels,
  }


def _rows_of(task: source.SourceTask, shared: str | None) -> dict[str, Any]:
  """The keys of a task that say which rows count for it, and how much."""
  entry: dict[str, Any] = {}
  if task.nullable:
    entry['null'] = 'not_observed'
  if task.only_after:
    entry['only_after'] = True
  own = task.weights[int(shared is not None) :]
  if own:
    entry['weight'] = own[0]
  if task.negatives_kept is not None:
    entry['negatives_kept'] = task.negatives_kept
  return entry


def _tasks(part: _Part) -> tuple[source.SourceTask, ...]:
  tasks: dict[str, source.SourceTask] = {}
  taken: set[str] = set()  # case does not count in SQL
  sampled_by = ''
  for entry in part.entries('tasks'):
    of_kind = _kind(entry)
    column = entry.text('column')
    name, after = entry.name(column), entry.optional('after')
    if name.lower() in taken:
      entry.fail(f'task {name!r} stands twice')
    taken.add(name.lower())
    if after is not None and after not in tasks:
      entry.fail(f'after: {after!r} is not a task listed before')
    if after is not None and tasks[after].kind != kinds.BINARY:
      entry.fail(f'after: {after!r} is not binary, so nothing implies it')
    only_after = entry.flag('only_after')
    is_ordinal = of_kind['kind'] == kinds.ORDINAL
    if after is not None and is_ordinal and not only_after:
      entry.fail('after: an ordinal task implies no other (see only_after)')
    seconds = entry.seconds('known_after_seconds')
    known_ms = None if seconds is None else round(seconds * 1000)
    weights = part.optional('weight'), entry.optional('weight')
    tasks[name] = source.SourceTask(
      name,
      after,
      column,
      known_after_ms=known_ms,
      nullable=entry.text('null', 'refused', ('refused', 'not_observed'))
      == 'not_observed',
      only_after=only_after,
      weights=tuple(w for w in weights if w is not None),
      negatives_kept=entry.share('negatives_kept'),
      **of_kind,
    )
    if tasks[name].only_after and after is None:
      entry.fail('only_after: expected "after" beside it, the task before')
    if tasks[name].negatives_kept and of_kind['kind'] != kinds.BINARY:
      entry.fail('negatives_kept: only a binary task has negatives')
    if tasks[name].negatives_kept is not None:
      if sampled_by:
        entry.fail(
          f'negatives_kept: {sampled_by!r} has it too; rows are sampled by one'
          ' task (a "weight" of 1 / rate serves other samples)'
        )
      sampled_by = name
  if not tasks:
    part.fail('tasks: expected at least one')
  return tuple(tasks.values())


def _check(schema: TableSchema, part: _Part) -> None:
  """Refuses a schema with contradictory keys."""
  if schema.session is None and schema.user is None:
    part.fail('expected "session" or "user", to cut sessions by')
  if len(schema.delimiter) != 1 or schema.delimiter in '"\r\n':
    part.fail(f'delimiter: {schema.delimiter!r} is not one character')
  if not schema.fields:
    part.fail('expected at least one categorical, multi_valued or numeric')
  _check_missing(schema, part)
  _check_roles(schema, part)
  if schema.domain and schema.categorical_of(schema.domain) is None:
    part.fail(
      f'domain: {schema.domain!r} is the column of no categorical field'
    )
  counts = collections.Counter(f.name.lower() for f in schema.fields)
  labels = {task.column: task.name for task in schema.tasks}
  for field in schema.fields:
    if counts[field.name.lower()] > 1:
      part.fail(f'field {field.name!r} stands twice; give one another "name"')
    if field.column in labels:
      part.fail(
        f'column {field.column!r} is a feature and the label of'
        f' {labels[field.column]!r}'
      )


def _check_missing(schema: TableSchema, part: _Part) -> None:
  """Refuses numbers and text that CSV would split, as neither is compared."""
  for text in schema.missing:
    try:
      number = not math.isnan(float(text))
    except ValueError:
      number = False
    if number:
      part.fail(f'missing: {text!r} is a number, expected other text')
    if any(sign in text for sign in (schema.delimiter, *'"\r\n')):
      part.fail(
        f'missing: {text!r} has a delimiter, a quote or a line end in it'
      )


def _check_roles(schema: TableSchema, part: _Part) -> None:
  """Refuses a column that is needed as text and as number."""
  texts = {schema.session, schema.user, schema.item}
  texts |= {f.column for f in schema.fields if f.kind != 'numeric'}
  numbers = {schema.time, *(task.column for task in schema.tasks)}
  numbers |= {column for task in schema.tasks for column in task.weights}
  numbers |= {f.column for f in schema.fields if f.kind == 'numeric'}
  for column in sorted(numbers & (texts - {None})):
    part.fail(
      f'column {column!r} is named as a key or category and as a number, time,'
      ' weight or label; expected one of the two'
    )


class _Part:
  """A JSON object and its path, for errors that name the key."""

  def __init__(self, record: Any, path: str, sign: str = ': '):
    if not isinstance(record, dict):
      raise types.InputError(f'{path}: expected a JSON object')
    self.record, self.path, self.sign = record, path, sign

  def fail(self, what: str) -> None:
    raise types.InputError(f'{self.path}{self.sign}{what}')

  def known(self, keys: tuple[str, ...]) -> None:
    for key in self.record:
      if key not in keys:
        where = f'{self.path}{self.sign}{key}'
        raise types.InputError(config_values.unknown_setting(where, keys))

  def group(self, key: str) -> _Part:
    if key not in self.record:
      self.fail(f'{key}: missing')
    return _Part(self.record[key], f'{self.path}{self.sign}{key}', '.')

  def entries(self, key: str) -> list[_Part]:
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    return [
      _Part(
        {'column': entry} if isinstance(entry, str) else entry,
        f'{self.path}{self.sign}{key}[{i}]',
        '.',
      )
      for i, entry in enumerate(found)
    ]

  def text(
    self,
    key: str,
    default: str | None = None,
    allowed: tuple[str, ...] = (),
  ) -> str:
    value = self.record.get(key, default)
    if value is None:
      self.fail(f'{key}: missing')
    if not isinstance(value, str) or not value:
      self.fail(f'{key}: found {value!r}, expected text')
    if allowed and value not in allowed:
      self.fail(f'{key}: {value!r} is not one of {", ".join(allowed)}')
    return str(value)

  def texts(self, key: str) -> tuple[str, ...]:
    found = self.record.get(key, [])
    if not isinstance(found, list):
      self.fail(f'{key}: expected a list')
    for value in found:
      if not isinstance(value, str) or not value:
        self.fail(f'{key}: found {value!r}, expected text')
    return tuple(found)

  def optional(self, key: str) -> str | None:
    return None if self.record.get(key) is None else self.text(key)

  def count(self, key: str, default: int) -> int:
    value = self.record.get(key, default)
    if type(value) is not int or not 2 <= value <= 1000:
      self.fail(f'{key}: found {value!r}, expected a number from 2 to 1000')
    return value

  def positive(self, key: str) -> float:
    value = self.record[key]
    if type(value) not in (int, float) or not 0 < value < math.inf:
      self.fail(f'{key}: found {value!r}, expected a number above 0')
    return float(value)

  def levels(self, key: str) -> tuple[int, ...]:
    found = self.record[key]
    right = isinstance(found, list) and all(type(n) is int for n in found)
    most = kinds.MOST_LEVELS
    if not right or not 2 <= len(found) <= most or sorted(set(found)) != found:
      self.fail(
        f'{key}: found {found!r:.80}, expected 2 to {most} increasing whole'
        ' numbers'
      )
    return tuple(found)

  def flag(self, key: str) -> bool:
    value = self.record.get(key, False)
    if type(value) is not bool:
      self.fail(f'{key}: found {value!r}, expected true or false')
    return value

  def share(self, key: str) -> float | None:
    value = self.record.get(key)
    if value is None:
      return None
    if type(value) not in (int, float) or not 0 < value <= 1:
      self.fail(f'{key}: found {value!r}, expected a rate above 0, at most 1')
    return None if value == 1 else float(value)

  def seconds(self, key: str) -> float | None:
    value = self.record.get(key)
    if value is None:
      return None
    number = type(value) in (int, float)
    if not number or not 0 <= value <= _LONGEST_S:  # False for NaN too
      self.fail(
        f'{key}: found {value!r}, expected a number from 0 to {_LONGEST_S}'
      )
    return value

  def name(self, column: str) -> str:
    name = self.text('name', column)
    if not _NAME.fullmatch(name):
      self.fail(
        f'name: {name!r} can name no file; expected letters, digits and _.-'
        ' (give "name" beside "column")'
      )
    return name

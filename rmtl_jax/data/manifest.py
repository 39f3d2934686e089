"""DATA/manifest.json: fields, tasks and splits of prepared data, checked.

The manifest is written last, so a directory without one is not prepared data.
"""

from __future__ import annotations

import dataclasses
import itertools
import json
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import Any

from rmtl_jax import durable, json_files, types
from rmtl_jax.config import kinds
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import binned

FORMAT_VERSION = 1
SPLITS = ('train', 'validation', 'test')
# A further split that data may have: rows of random exposure.
RANDOM = 'random'
ALL_SPLITS = (*SPLITS, RANDOM)
KINDS = ('categorical', 'multi_valued', 'numeric')
# In bytes; what a file's name may have beside it fits too.
_LONGEST_NAME = 200
# Attributes that have another key in the file.
_KEYS = {'vocabulary_owner': 'shares'}
# Attributes of tasks that are not binary.
_OF_KIND = ('kind', 'loss', 'settings', 'levels', 'statistics')
# Attributes that are in the file only where they say something.
_SPARSE = (
  *('weighted', 'only_after', 'negatives_kept', 'propensity'),
  'observed',
)
# Entries that are in the file only where they are false.
_USUAL = ('has_time', 'split_by_time')
# How many quantiles a numeric field has (`details`), and their largest size.
_QUANTILES = (2, 1025)
_LARGEST_QUANTILE = 1e30
# Vocabulary rows are int32.
_LARGEST_SIZE = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Field:
  """One feature of a row.

  Attributes:
    name: the field's name; its column is `f_`, `m_` or `x_` plus the name.
    kind: 'categorical', 'multi_valued' or 'numeric'.
    size: rows of the vocabulary, row 0 included; 0 for a numeric field.
    width: slots of a multi-valued field; longer lists were cut; else 0.
    details: how it was made (bin edges, mean and deviation, min_count);
      `predict` repeats it. `quantiles` of a numeric field are those of its
      normalised values over train rows; `vectors` of a categorical one are
      the `width` of those in DATA/vectors and whether they are `trained`.
    vocabulary_owner: the categorical field that lends a multi-valued field its
      vocabulary and embedding table (`shares` in the file); None if the field
      has its own.
  """

  name: str
  kind: str
  size: int = 0
  width: int = 0
  details: dict[str, Any] = dataclasses.field(default_factory=dict)
  vocabulary_owner: str | None = None

  @property
  def column(self) -> str:
    """The field's column in the Parquet files."""
    prefix = {'categorical': 'f_', 'multi_valued': 'm_', 'numeric': 'x_'}
    return prefix[self.kind] + self.name


@dataclasses.dataclass(frozen=True)
class Task:
  """One label.

  Attributes:
    name: its column is `y_` plus the name.
    after: the task that a label of this one other than 0 implies (the funnel),
      or None.
    kind: `binary`, `regression` or `ordinal`.
    loss: its name (config/kinds.py).
    settings: of the loss.
    levels: of an ordinal label, increasing.
    statistics: of the labels of train rows (preparation/label_statistics.py);
      none of a binary task's.
    weighted: whether a column `w_` plus the name says how much its rows count.
    only_after: whether only positives of `after` count.
    negatives_kept: the rate at which its negatives were kept in the log, or
      None.
    propensity: whether a column `q_` plus the name has the probability that the
      label is seen, of a positive of `after` where there is one.
  """

  name: str
  after: str | None = None
  kind: str = kinds.BINARY
  loss: str = kinds.losses_of(kinds.BINARY)[0]
  settings: dict[str, float] = dataclasses.field(default_factory=dict)
  levels: tuple[int, ...] = ()
  statistics: dict[str, Any] = dataclasses.field(default_factory=dict)
  weighted: bool = False
  only_after: bool = False
  negatives_kept: float | None = None
  propensity: bool = False

  @property
  def is_binary(self) -> bool:
    """Whether labels are 0 or 1."""
    return self.kind == kinds.BINARY

  def task_loss(self) -> types.TaskLoss:
    """What networks must know of the task."""
    units = kinds.LOSSES.find(self.loss).units
    single = {k: v for k, v in self.statistics.items() if k != 'shares'}
    return types.TaskLoss(
      self.loss,
      self.kind,
      units,
      max(len(self.levels) - 1, 1) if self.kind == kinds.ORDINAL else units,
      kinds.numbers(self.settings, single),
      tuple(map(float, self.levels)),
      tuple(map(float, self.statistics.get('shares', ()))),
    )


@dataclasses.dataclass(frozen=True)
class Split:
  """Counts of one split.

  Attributes:
    rows: rows over all files.
    sessions: sessions over all files.
    files: paths relative to the data directory, in order.
    positives: rows with a label other than 0, per task name.
    start_ms: earliest session start, ms; None if empty.
    end_ms: the boundary that no row or label reaches, ms; None for test, and
      for all where splits don't follow each other in time.
    observed: rows with a weight above 0, per weighted task.
  """

  rows: int
  sessions: int
  files: tuple[str, ...]
  positives: dict[str, int]
  start_ms: int | None = None
  end_ms: int | None = None
  observed: dict[str, int] = dataclasses.field(default_factory=dict)

  def rows_of(self, task: str) -> int:
    """Rows in which a task's label is observed."""
    return self.observed.get(task, self.rows)


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The contents of manifest.json.

  Attributes:
    source: name of the reader that made the data.
    fields: features, in the order in which networks see them.
    tasks: labels, in funnel order.
    splits: those of SPLITS, and RANDOM where the log has such rows.
    user_field: the categorical field that identifies the user, or None.
    item_field: the categorical field that identifies the item, or None.
    domain_field: the categorical field of the domain (scenario), or None.
    has_oracle: whether columns `p_<task>` with true probabilities exist.
    has_time: whether `timestamp` is a time; else it is 0.
    split_by_time: whether splits part sessions by their start.
    options: the options that made the data.
    source_files: name, bytes and SHA-256 of every raw file.
    report: counts of what was dropped and why, session lengths.
    format_version: of this file.
  """

  source: str
  fields: tuple[Field, ...]
  tasks: tuple[Task, ...]
  splits: dict[str, Split]
  user_field: str | None = None
  item_field: str | None = None
  domain_field: str | None = None
  has_oracle: bool = False
  has_time: bool = True
  split_by_time: bool = True
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  source_files: tuple[dict[str, Any], ...] = ()
  report: dict[str, Any] = dataclasses.field(default_factory=dict)
  format_version: int = FORMAT_VERSION

  def with_validation(self) -> Manifest:
    """The same data with validation rows among those of train, after them."""
    splits = dict(self.splits)
    splits['train'] = together(splits['train'], splits['validation'])
    return dataclasses.replace(self, splits=splits)

  def of_kind(self, kind: str) -> tuple[Field, ...]:
    """The fields of one kind, in order."""
    return tuple(f for f in self.fields if f.kind == kind)

  @property
  def task_names(self) -> tuple[str, ...]:
    """Names of the tasks, in order."""
    return tuple(t.name for t in self.tasks)

  @property
  def losses(self) -> tuple[types.TaskLoss, ...]:
    """What the labels stand for; () if all are binary."""
    if all(task.is_binary for task in self.tasks):
      return ()
    return tuple(task.task_loss() for task in self.tasks)

  @property
  def weighted(self) -> bool:
    """Whether rows of any task have weights."""
    return any(t.weighted for t in self.tasks)

  @property
  def has_propensities(self) -> bool:
    """Whether the log has propensities of any task."""
    return any(t.propensity for t in self.tasks)

  @property
  def parents_over_all(self) -> tuple[int | None, ...]:
    """For each task the place of its `after`; None if it is judged on that."""
    places = {name: k for k, name in enumerate(self.task_names)}
    return tuple(
      None if t.after is None or t.only_after else places[t.after]
      for t in self.tasks
    )

  @property
  def numeric_names(self) -> tuple[str, ...]:
    """Names of the numeric fields, in order."""
    return tuple(f.name for f in self.of_kind('numeric'))

  def feature_spec(self) -> types.FeatureSpec:
    """What networks must know of this data."""
    categorical = self.of_kind('categorical')
    multi_valued = self.of_kind('multi_valued')
    places = {f.name: i for i, f in enumerate(categorical)}
    owners = tuple(
      None if f.vocabulary_owner is None else places[f.vocabulary_owner]
      for f in multi_valued
    )
    embedded = (*categorical, *multi_valued)
    quantiles = tuple(
      tuple(f.details.get('quantiles', ())) for f in self.of_kind('numeric')
    )
    return types.FeatureSpec(
      categorical=tuple(f.size for f in categorical),
      multi_valued=tuple((f.size, f.width) for f in multi_valued),
      numeric=len(self.of_kind('numeric')),
      num_tasks=len(self.tasks),
      names=tuple(f.name for f in embedded),
      item=None if self.item_field is None else places[self.item_field],
      domain=None if self.domain_field is None else places[self.domain_field],
      vocabulary_owners=() if set(owners) <= {None} else owners,
      numeric_names=tuple(f.name for f in self.of_kind('numeric')),
      groups=tuple(self.as_of_groups().items()),
      item_side=_on(embedded, 'item', self.item_field),
      user_side=_on(embedded, 'user', self.user_field),
      previous=tuple(
        (i, f.details['previous'])
        for i, f in enumerate(categorical)
        if f.details.get('previous')
      ),
      quantiles=quantiles if any(quantiles) else (),
      tasks=self.task_names,
      losses=self.losses,
      parents=self._parents(),
      sampling=sampling(self.tasks),
      only_after=tuple(t.name for t in self.tasks if t.only_after),
      propensities=tuple(t.name for t in self.tasks if t.propensity),
      pretrained=tuple(
        types.Pretrained(i, f.name, vectors['width'], vectors['trained'])
        for i, f in enumerate(categorical)
        if (vectors := f.details.get('vectors'))
      ),
      derived=binned.numbers(categorical),
    )

  def _parents(self) -> tuple[int | None, ...]:
    """See types.FeatureSpec; () where tasks name no parent, or are a chain."""
    places = {name: k for k, name in enumerate(self.task_names)}
    found = tuple(
      None if task.after is None else places[task.after] for task in self.tasks
    )
    is_chain = found == (None, *range(len(found) - 1))
    return () if is_chain or set(found) == {None} else found

  def as_of_groups(self) -> dict[str, tuple[str, ...]]:
    """Names of the fields of every group of as-of features.

    A group that the data lacks is empty, so that settings can name it for any
    data.
    """
    return {
      group: tuple(
        f.name for f in self.fields if f.details.get('as_of') == group
      )
      for group in prepare_config.AS_OF
    }


def together(*parts: Split) -> Split:
  """The counts of splits that follow each other, as one."""

  def total(name: str) -> dict[str, int]:
    counts = [getattr(part, name) for part in parts]
    return {task: sum(c[task] for c in counts) for task in counts[0]}

  starts = [part.start_ms for part in parts if part.start_ms is not None]
  return Split(
    rows=sum(part.rows for part in parts),
    sessions=sum(part.sessions for part in parts),
    files=tuple(itertools.chain(*(part.files for part in parts))),
    positives=total('positives'),
    start_ms=min(starts, default=None),
    end_ms=parts[-1].end_ms,
    observed=total('observed'),
  )


def sampling(tasks: Sequence[Any]) -> types.Sampling | None:
  """How a log with these tasks was sampled; None if it was not.

  A task's probability can be corrected where it is the one by which rows were
  sampled, or implies it, and is judged on all rows.

  Args:
    tasks: each with `name`, `after`, `only_after` and `negatives_kept`.
  """
  names = [t.name for t in tasks]
  by = next((t for t in tasks if (t.negatives_kept or 1.0) < 1.0), None)
  if by is None:
    return None

  def implies(task):
    while task is not None and task is not by:
      task = tasks[names.index(task.after)] if task.after in names else None
    return task is by

  return types.Sampling(
    names.index(by.name),
    by.negatives_kept,
    tuple(
      t is by or (implies(t) and not t.only_after and not by.only_after)
      for t in tasks
    ),
  )


def _on(
  fields: tuple[Field, ...], side: str, key: str | None
) -> tuple[int, ...]:
  """Places of the fields on a side; its key is always among them."""
  return tuple(
    i
    for i, field in enumerate(fields)
    if field.name == key or field.details.get('side') == side
  )


def to_dict(manifest: Manifest) -> dict[str, Any]:
  """The JSON object that `parse` reads."""
  record = dataclasses.asdict(
    manifest,
    dict_factory=lambda pairs: {
      _KEYS.get(k, k): v for k, v in pairs if k not in _SPARSE or v
    },
  )
  for entry in _USUAL:  # as before there were other logs
    if record[entry]:
      del record[entry]
  # Of a binary task as before there were others.
  record['tasks'] = [
    {
      name: value
      for name, value in task.items()
      if name not in _OF_KIND or not one.is_binary
    }
    for task, one in zip(record['tasks'], manifest.tasks, strict=True)
  ]
  return record


def write(manifest: Manifest, data_dir: str | os.PathLike[str]) -> None:
  """Writes DATA/manifest.json atomically."""
  text = json.dumps(to_dict(manifest), indent=2, allow_nan=False)
  durable.write_text(pathlib.Path(data_dir) / 'manifest.json', text + '\n')


def read(data_dir: str | os.PathLike[str]) -> Manifest:
  """Reads DATA/manifest.json and checks its form.

  Raises:
    types.InputError: no such file, not JSON, another format version, or a
      field that is missing or of the wrong form.
  """
  path = pathlib.Path(data_dir) / 'manifest.json'
  missing = f'{data_dir} is not prepared data (make it with rmtl prepare)'
  return parse(json_files.read(path, missing), str(path))


def parse(record: Any, path: str = 'manifest.json') -> Manifest:
  """Turns the decoded JSON into a Manifest.

  Raises:
    types.InputError: as for `read`.
  """
  if not isinstance(record, dict):
    raise types.InputError(f'{path}: expected a JSON object')
  version = record.get('format_version')
  if type(version) is not int or version != FORMAT_VERSION:
    raise types.InputError(
      f'{path}: format_version is {version!r:.80}, this program reads'
      f' {FORMAT_VERSION}'
    )
  # What a later program adds without a new version is not read.
  known = {field.name for field in dataclasses.fields(Manifest)}
  manifest = _build(
    Manifest, {k: v for k, v in record.items() if k in known}, path
  )
  manifest = dataclasses.replace(
    manifest,
    fields=_parts(Field, manifest.fields, f'{path}: fields'),
    tasks=_parts(Task, manifest.tasks, f'{path}: tasks'),
    splits=_splits(manifest.splits, f'{path}: splits'),
    source_files=tuple(
      _expect(record.get('source_files', []), list, f'{path}: source_files')
    ),
  )
  _expect(manifest.source, str, f'{path}: source')
  _expect(manifest.has_oracle, bool, f'{path}: has_oracle')
  for entry in _USUAL:
    _expect(getattr(manifest, entry), bool, f'{path}: {entry}')
  _expect(manifest.options, dict, f'{path}: options')
  _expect(manifest.report, dict, f'{path}: report')
  for file in manifest.source_files:
    _expect(file, dict, f'{path}: source_files: entry')
  _check_fields(manifest, path)
  _check_tasks(manifest, path)
  for name, split in manifest.splits.items():
    _check_split(split, manifest, f'{path}: splits: {name!r}')
  return manifest


def _expect(value: Any, kind: type, what: str) -> Any:
  """The value, if it is of that very type (a bool is no int)."""
  if type(value) is not kind:
    names = {dict: 'an object', list: 'a list', str: 'a text', bool: 'a bool'}
    raise types.InputError(
      f'{what} is {value!r:.80}, expected {names.get(kind, "a whole number")}'
    )
  return value


def _expect_count(value: Any, what: str, low: int = 0) -> None:
  if _expect(value, int, what) < low:
    raise types.InputError(f'{what} is {value!r:.80}, expected at least {low}')


def _build(kind: Any, record: Any, what: str) -> Any:
  """The dataclass with the entries of a JSON object."""
  _expect(record, dict, what)
  fields = {_KEYS.get(f.name, f.name): f for f in dataclasses.fields(kind)}
  for name in record:
    if name not in fields:
      raise types.InputError(f'{what}: no such entry: {name!r:.80}')
  for name, field in fields.items():
    optional = (
      field.default is not dataclasses.MISSING
      or field.default_factory is not dataclasses.MISSING
    )
    if name not in record and not optional:
      raise types.InputError(f'{what} lacks {name!r}')
  return kind(**{fields[key].name: value for key, value in record.items()})


def _parts(kind: Any, records: Any, what: str) -> tuple[Any, ...]:
  """One dataclass per entry of a list; their names differ."""
  parts = {}
  for i, record in enumerate(_expect(records, list, what)):
    part = _build(kind, record, f'{what}: entry {i + 1}')
    _check_name(part.name, f'{what}: entry {i + 1}: name')
    if part.name in parts:
      raise types.InputError(f'{what}: {part.name!r} stands twice')
    parts[part.name] = part
  return tuple(parts.values())


def _check_name(name: Any, what: str) -> None:
  """Refuses a name that can't be part of a file's name or leaves the folder."""
  _expect(name, str, what)
  if (
    not name.isprintable()
    or set(name) & set('/\\')
    or name in ('', '.', '..')
    or len(name.encode()) > _LONGEST_NAME
  ):
    raise types.InputError(f'{what} is {name!r:.80}, which can name no file')


def _splits(records: Any, what: str) -> dict[str, Split]:
  _expect(records, dict, what)
  splits = {}
  for name, record in records.items():
    split = _build(Split, record, f'{what}: {name!r}')
    files = _expect(split.files, list, f'{what}: {name!r}: files')
    splits[name] = dataclasses.replace(split, files=tuple(files))
  for name in splits:
    if name not in ALL_SPLITS:
      raise types.InputError(f'{what}: no such split: {name!r:.80}')
  for name in SPLITS:
    if name not in splits:
      raise types.InputError(f'{what} lacks {name!r}')
  return {name: splits[name] for name in ALL_SPLITS if name in splits}


def _check_fields(manifest: Manifest, path: str) -> None:
  """Refuses fields that no network could have."""
  for field in manifest.fields:
    what = f'{path}: fields: {field.name!r}'
    if field.kind not in KINDS:
      raise types.InputError(
        f'{what} has kind {field.kind!r:.80}, expected one of'
        f' {", ".join(KINDS)}'
      )
    _expect(field.details, dict, f'{what}: details')
    _expect_count(field.size, f'{what}: size', int(field.kind != 'numeric'))
    _expect_count(
      field.width, f'{what}: width', int(field.kind == 'multi_valued')
    )
    if field.size > _LARGEST_SIZE or field.width > _LARGEST_SIZE:
      raise types.InputError(
        f'{what} has more than {_LARGEST_SIZE} vocabulary rows or slots'
      )
    row = field.details.get('previous', 0)
    _expect_count(row, f'{what}: details: previous')
    if row >= max(field.size, 1):
      raise types.InputError(
        f'{what}: details: previous is {row}, expected a row of the vocabulary'
        f' of {field.size}'
      )
    if 'vectors' in field.details:
      _check_vectors(field, what)
    if field.kind == 'categorical' and 'order' in field.details:
      _check_order(field, what)
    if field.kind == 'numeric' and 'quantiles' in field.details:
      _check_quantiles(field.details['quantiles'], what)
    if field.vocabulary_owner is not None:
      _check_shares(field, manifest, what)
  categorical = [field.name for field in manifest.of_kind('categorical')]
  for role in ('user_field', 'item_field', 'domain_field'):
    name = getattr(manifest, role)
    if name is not None and name not in categorical:
      raise types.InputError(
        f'{path}: {role} is {name!r:.80}, expected a categorical field'
      )


def _check_vectors(field: Field, what: str) -> None:
  """Refuses what can't describe vectors of a vocabulary."""
  what = f'{what}: details: vectors'
  found = _expect(field.details['vectors'], dict, what)
  if field.kind != 'categorical':
    raise types.InputError(f'{what}: only a categorical field has vectors')
  _expect_count(found.get('width'), f'{what}: width', 1)
  _expect(found.get('trained'), bool, f'{what}: trained')


def _check_quantiles(found: Any, what: str) -> None:
  """Refuses what can't be the edges of bins."""
  least, most = _QUANTILES
  right = (
    type(found) is list
    and least <= len(found) <= most
    and all(type(q) in (int, float) for q in found)
    and all(abs(q) <= _LARGEST_QUANTILE for q in found)
    and all(a < b for a, b in itertools.pairwise(found))
  )
  if not right:
    raise types.InputError(
      f'{what}: details: quantiles are {found!r:.80}, expected a list of'
      f' {least} to {most} increasing numbers of at most'
      f' {_LARGEST_QUANTILE:.0e}'
    )


def _check_order(field: Field, what: str) -> None:
  """Refuses what can't be the bins of a vocabulary's rows."""
  edges = _expect(field.details.get('edges'), list, f'{what}: details: edges')
  rate = field.details.get('train_rate', 0.0)
  for number in (*edges, rate):
    if (
      type(number) not in (int, float) or not abs(number) <= sys.float_info.max
    ):
      raise types.InputError(
        f'{what}: details: {number!r:.80} among edges and train_rate, expected'
        ' a number'
      )
  order = field.details['order']
  right = (
    type(order) is list
    and len(order) < field.size
    and all(type(row) is int and 0 <= row <= len(edges) for row in order)
  )
  if not right:
    raise types.InputError(
      f'{what}: details: order is {order!r:.80}, expected a bin of at most'
      f' {len(edges)} for each row of the vocabulary'
    )


def _check_shares(field: Field, manifest: Manifest, what: str) -> None:
  """Refuses an owner that is missing or has another vocabulary size."""
  sizes = {f.name: f.size for f in manifest.of_kind('categorical')}
  if field.kind != 'multi_valued':
    raise types.InputError(f'{what} shares, expected that of multi_valued only')
  if (
    type(field.vocabulary_owner) is not str
    or field.vocabulary_owner not in sizes
  ):
    raise types.InputError(
      f'{what} shares {field.vocabulary_owner!r:.80}, expected a categorical'
      ' field'
    )
  if field.size != sizes[field.vocabulary_owner]:
    raise types.InputError(
      f'{what} has {field.size} vocabulary rows and shares those of'
      f' {field.vocabulary_owner!r}, which has {sizes[field.vocabulary_owner]}'
    )


def _check_tasks(manifest: Manifest, path: str) -> None:
  """Refuses tasks that form no funnel."""
  if not manifest.tasks:
    raise types.InputError(f'{path}: tasks is empty')
  for i, task in enumerate(manifest.tasks):
    if task.after is not None and task.after not in manifest.task_names[:i]:
      raise types.InputError(
        f'{path}: tasks: {task.name!r} comes after {task.after!r:.80},'
        ' expected a task listed before'
      )
    _check_kind(task, f'{path}: tasks: {task.name!r}')
    _check_task_rows(task, f'{path}: tasks: {task.name!r}')
  if sum(t.negatives_kept is not None for t in manifest.tasks) > 1:
    raise types.InputError(
      f'{path}: tasks: several have negatives_kept, expected one at most'
    )


def _check_kind(task: Task, what: str) -> None:
  """Refuses a kind, a loss or statistics that no network could use."""
  possible = kinds.losses_of(task.kind) if task.kind in kinds.KINDS else ()
  if task.loss not in possible:
    raise types.InputError(
      f'{what} has kind {task.kind!r:.80} and loss {task.loss!r:.80}, expected'
      f' a loss of {", ".join(kinds.KINDS)}'
    )
  if task.is_binary:
    return
  levels = list(task.levels) if type(task.levels) in (list, tuple) else []
  if task.kind == kinds.ORDINAL and not (
    2 <= len(levels) <= kinds.MOST_LEVELS
    and all(type(n) is int for n in levels)
    and sorted(set(levels)) == levels
  ):
    raise types.InputError(
      f'{what}: levels are {task.levels!r:.80}, expected 2 to'
      f' {kinds.MOST_LEVELS} increasing whole numbers'
    )
  statistics = _expect(task.statistics, dict, f'{what}: statistics')
  numbers = {**_expect(task.settings, dict, f'{what}: settings'), **statistics}
  shares = numbers.pop('shares', [])
  wanted = kinds.STATISTICS[task.kind]
  for name in wanted:
    if name not in statistics:
      raise types.InputError(f'{what}: statistics lacks {name!r}')
  shares = shares if type(shares) in (list, tuple) else [None]
  if 'shares' in wanted and len(shares) != len(levels):
    raise types.InputError(
      f'{what}: statistics: shares are {shares!r:.80}, expected one per level'
    )
  for name, value in [*numbers.items(), *(('shares', s) for s in shares)]:
    if type(value) not in (int, float) or not abs(value) <= _LARGEST_QUANTILE:
      raise types.InputError(
        f'{what}: {name} is {value!r:.80}, expected a number'
      )


def _check_task_rows(task: Task, what: str) -> None:
  """Refuses what can't say which rows of a task count."""
  for entry in ('weighted', 'only_after', 'propensity'):
    _expect(getattr(task, entry), bool, f'{what}: {entry}')
  if task.only_after and not (task.weighted and task.after is not None):
    raise types.InputError(
      f'{what}: only_after is true, expected after and weighted beside it'
    )
  rate = task.negatives_kept
  if rate is not None and not (type(rate) in (int, float) and 0 < rate <= 1):
    raise types.InputError(
      f'{what}: negatives_kept is {rate!r:.80}, expected a rate in (0, 1]'
    )


def _check_split(split: Split, manifest: Manifest, what: str) -> None:
  """Refuses counts that are none, and files outside of the directory."""
  _expect_count(split.rows, f'{what}: rows')
  _expect_count(split.sessions, f'{what}: sessions')
  _expect(split.positives, dict, f'{what}: positives')
  for name in manifest.task_names:
    if name not in split.positives:
      raise types.InputError(f'{what}: positives lacks {name!r}')
  for name, count in split.positives.items():
    _expect_count(count, f'{what}: positives: {name!r:.80}')
  _expect(split.observed, dict, f'{what}: observed')
  for task in manifest.tasks:
    if task.weighted:
      found = split.observed.get(task.name)
      _expect_count(found, f'{what}: observed: {task.name!r:.80}')
  for entry in ('start_ms', 'end_ms'):
    value = getattr(split, entry)
    if value is not None:
      _expect(value, int, f'{what}: {entry}')
  for name in split.files:
    inside = pathlib.PurePosixPath(_expect(name, str, f'{what}: file'))
    if inside.is_absolute() or '..' in inside.parts or '\0' in name:
      raise types.InputError(f'{what}: file {name!r:.80} leaves the directory')

"""The manifest of prepared data: fields, tasks and splits.

`manifest_file` writes it to DATA/manifest.json, and reads it.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import kinds, prepare_settings
from rmtl_jax.data import binned

FORMAT_VERSION = 2
SPLITS = ('train', 'validation', 'test')
KINDS = ('categorical', 'multi_valued', 'numeric')


@dataclasses.dataclass(frozen=True)
class Field:
  """One feature of a row.

  Attributes:
    name: the field's name; its column is `f_`, `m_` or `x_` plus the name.
    kind: 'categorical', 'multi_valued' or 'numeric'.
    size: rows of the vocabulary, row 0 included, or bins and one for missing
      values; 0 for a numeric field.
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
  def has_vocabulary(self) -> bool:
    """Whether it has its own vocabulary."""
    has_ids = self.kind != 'numeric' and not self.is_binned
    return has_ids and self.vocabulary_owner is None

  @property
  def is_binned(self) -> bool:
    """Whether its ids are bins of a number, from 1; 0 means missing."""
    return 'edges' in self.details

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
    within_seconds: delay after a row at which its label is final, s, or None:
      it always is. With it, columns `d_` plus the name and `age` say what was
      known of younger rows.
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
  within_seconds: float | None = None

  @property
  def is_binary(self) -> bool:
    """Whether labels are 0 or 1."""
    return self.kind == kinds.BINARY

  def task_loss(self) -> types.TaskLoss:
    """The task as networks need it."""
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
    splits: those of SPLITS.
    user_field: the categorical field that identifies the user, or None.
    item_field: the categorical field that identifies the item, or None.
    has_oracle: whether columns `p_<task>` with true probabilities exist.
    has_time: whether `timestamp` is a time; else it is 0.
    split_by_time: whether splits part sessions by their start.
    options: the options that made the data.
    source_files: name, bytes and SHA-256 of every raw file.
    report: counts of what was dropped and why, session lengths.
    digests: SHA-256 of the files of `vocabulary/` and `past/`, by name in DATA;
      {} in data of another engine.
    format_version: of this file.
  """

  source: str
  fields: tuple[Field, ...]
  tasks: tuple[Task, ...]
  splits: dict[str, Split]
  user_field: str | None = None
  item_field: str | None = None
  has_oracle: bool = False
  has_time: bool = True
  split_by_time: bool = True
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  source_files: tuple[dict[str, Any], ...] = ()
  report: dict[str, Any] = dataclasses.field(default_factory=dict)
  digests: dict[str, str] = dataclasses.field(default_factory=dict)
  format_version: int = FORMAT_VERSION

  def with_validation(self) -> Manifest:
    """The same data with validation rows among those of train, after them."""
    splits = dict(self.splits)
    splits['train'] = together(splits['train'], splits['validation'])
    return dataclasses.replace(self, splits=splits)

  def file_names(self, split: str) -> tuple[str, ...]:
    """A split's files, relative to the data's directory, in order.

    Raises:
      types.InputError: no such split.
    """
    if split not in self.splits:
      raise types.InputError(
        f'split: {split!r} is not one of {", ".join(self.splits)}'
      )
    return self.splits[split].files

  def of_kind(self, kind: str) -> tuple[Field, ...]:
    """The fields of one kind, in order."""
    return tuple(f for f in self.fields if f.kind == kind)

  @property
  def with_vocabulary(self) -> tuple[Field, ...]:
    """The fields that have their own vocabulary."""
    return tuple(f for f in self.fields if f.has_vocabulary)

  @property
  def task_names(self) -> tuple[str, ...]:
    """Names of the tasks, in order."""
    return tuple(t.name for t in self.tasks)

  @property
  def delay_columns(self) -> tuple[str, ...]:
    """Columns of what was known of labels that were not final."""
    late = [t.name for t in self.tasks if t.within_seconds is not None]
    return ('age', *(f'd_{name}' for name in late)) if late else ()

  @property
  def within(self) -> tuple[float, ...]:
    """Seconds after which each task's label is final, 0 if it always is."""
    return tuple(task.within_seconds or 0.0 for task in self.tasks)

  @property
  def losses(self) -> tuple[types.TaskLoss, ...]:
    """Kinds of the labels; () if all are binary."""
    if all(task.is_binary for task in self.tasks):
      return ()
    return tuple(task.task_loss() for task in self.tasks)

  @property
  def weighted(self) -> bool:
    """Whether rows of any task have weights."""
    return any(t.weighted for t in self.tasks)

  @property
  def numeric_names(self) -> tuple[str, ...]:
    """Names of the numeric fields, in order."""
    return tuple(f.name for f in self.of_kind('numeric'))

  def feature_spec(self) -> types.FeatureSpec:
    """The features of this data, for networks."""
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
      vocabulary_owners=() if set(owners) <= {None} else owners,
      numeric_names=tuple(f.name for f in self.of_kind('numeric')),
      groups=tuple(self.as_of_groups().items()),
      quantiles=quantiles if any(quantiles) else (),
      missing=tuple(
        i
        for i, f in enumerate(self.of_kind('numeric'))
        if f.details.get('missing')
      ),
      tasks=self.task_names,
      losses=self.losses,
      parents=self._parents(),
      sampling=sampling(self.tasks),
      only_after=tuple(t.name for t in self.tasks if t.only_after),
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
      for group in prepare_settings.AS_OF
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
  sampled, or implies it, and is evaluated on all rows.

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

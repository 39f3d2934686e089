"""Batches, features and the error for bad input.

Shapes use these letters throughout the package: `L` lanes of a batch, `T`
slots of a lane, `K` tasks, `O` outputs of all tasks, `F` categorical fields,
`M` multi-valued slots (all multi-valued fields side by side), `N` numeric
fields.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
  import jax
  import numpy as np

  Array = jax.Array | np.ndarray


class InputError(Exception):
  """Bad input or usage, in one line; the launcher exits with 2.

  The message names file, column and row if there are any, what was found and
  what was expected.
  """


def first_line(error: BaseException) -> str:
  """The first line of an error's message; its type if it has none.

  >>> first_line(ValueError('no such row\\nin 3 rows'))
  'no such row'
  """
  return (str(error).strip() or type(error).__name__).splitlines()[0]


def one_line(text: object) -> str:
  r"""Collapses white space and escapes characters that can't be printed.

  A terminal might obey control characters of a text that came from data.

  >>> one_line('log.csv:\n no column \x1b[31m')
  'log.csv: no column \\x1b[31m'
  """
  return ''.join(
    c if c.isprintable() else c.encode('unicode_escape').decode()
    for c in ' '.join(str(text).split())
  )


@dataclasses.dataclass(frozen=True)
class TaskLoss:
  """A task's kind and loss.

  Attributes:
    name: of the loss (config/kinds.py).
    kind: `binary`, `regression` or `ordinal`.
    units: outputs of the task's tower.
    outputs: columns of the network; as `units`, but of an ordinal task one per
      threshold.
    numbers: (name, value) of the loss's settings and of the label's statistics
      over train rows.
    levels: of an ordinal label, increasing.
    shares: of train rows at each level.
  """

  name: str = 'cross_entropy'
  kind: str = 'binary'
  units: int = 1
  outputs: int = 1
  numbers: tuple[tuple[str, float], ...] = ()
  levels: tuple[float, ...] = ()
  shares: tuple[float, ...] = ()


@dataclasses.dataclass(frozen=True)
class Sampling:
  """How a log was sampled: negatives of one task kept at a rate.

  A row that is no negative of that task was kept for certain. Odds of the whole
  log follow from those of the sampled one (He et al., "Practical Lessons from
  Predicting Clicks on Ads at Facebook", ADKDD 2014, section 6.3).

  Attributes:
    task: index of the task by whose label rows were sampled.
    rate: at which its negatives were kept, in (0, 1).
    corrected: for each task, whether the network learns its probability among
      the sampled rows, which `correct` turns into that of the whole log. The
      others' rows have weights in training instead, or none was sampled away.
  """

  task: int
  rate: float
  corrected: tuple[bool, ...]

  def correct(self, probabilities: Any) -> Any:
    """Probabilities of the whole log, by those among sampled rows.

    With q = P(s = 1) among sampled rows of task s, by which they were sampled,
    there are q + (1 - q) / rate rows of the log to each of them. A positive of
    s or of a task that implies s was never sampled away, so its probability is
    divided by that number: p / (p + (1 - p) / rate) for s itself.

    Examples:
      >>> import numpy as np
      >>> log = Sampling(task=0, rate=0.1, corrected=(True, True))
      >>> log.correct(np.array([[0.5, 0.11]])).round(3).tolist()
      [[0.091, 0.02]]

    Args:
      probabilities: f32[..., K], of numpy or JAX.

    Returns:
      Of the same kind and shape.
    """
    import numpy as np

    own = probabilities[..., self.task : self.task + 1]
    rows = own + (1.0 - own) / self.rate
    chosen = np.array(self.corrected, probabilities.dtype)
    # Aligned by hand: rank promotion may be forbidden.
    chosen = chosen.reshape((1,) * (probabilities.ndim - 1) + (-1,))
    return probabilities / (rows * chosen + (1.0 - chosen))


class Pretrained(NamedTuple):
  """A categorical field with vectors, learnt elsewhere, for its vocabulary.

  Attributes:
    place: of the field among the categorical ones.
    name: of the field.
    width: numbers of a vector.
    trained: whether training changes them.
  """

  place: int
  name: str
  width: int
  trained: bool = False


class Derived(NamedTuple):
  """A number that networks can make of categorical fields: a sum over them.

  Attributes:
    name: of the number; no field's.
    places: of the fields among the categorical ones.
    values: of each field, what its vocabulary's rows add, from row 1 on; row 0
      and rows that are not listed add 0.
    quantiles: of the number, increasing.
  """

  name: str
  places: tuple[int, ...]
  values: tuple[tuple[float, ...], ...]
  quantiles: tuple[float, ...]

  def given(self) -> Derived:
    """1 where the number's only field has a listed row, else 0."""
    (rows,) = self.values
    return self._replace(
      name=f'{self.name}_given',
      values=((1.0,) * len(rows),),
      quantiles=(0.0, 1.0),
    )


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
  """Sizes and names of the features, from which networks are built.

  Attributes:
    categorical: rows of each categorical field's vocabulary, row 0 (missing,
      unseen or rare) included.
    multi_valued: (vocabulary rows, slots) of each multi-valued field.
    numeric: number of numeric fields.
    num_tasks: K.
    names: of the categorical, then the multi-valued fields; needed by settings
      that name a field.
    vocabulary_owners: for each multi-valued field, the place of the categorical
      field that lends it vocabulary and embeddings, or None; empty if none
      does.
    numeric_names: of the numeric fields.
    groups: (name, names of its fields) of each group of as-of features; empty
      for a group that the data lacks.
    quantiles: of each numeric field's values over train rows, increasing; () of
      a field without; empty if no field has any.
    missing: places of the numeric fields that may be NaN, a missing value: some
      train rows lack them.
    distinct: capacity for the distinct values of each categorical field in a
      training batch (data/batches.distinct_capacity); empty if unknown.
    tasks: names of the tasks; needed by settings that name one.
    losses: of each task; empty if all tasks are binary.
    parents: for each task, the place of the task that a positive of it implies,
      or None; empty if every task implies the one before it, or none is known
      to imply another.
    sampling: how the log was sampled, or None.
    only_after: names of the tasks that count on positives of another task.
    pretrained: fields with vectors that were learnt elsewhere.
    derived: numbers that can be made of binned fields (data/binned.py).
  """

  categorical: tuple[int, ...]
  multi_valued: tuple[tuple[int, int], ...]
  numeric: int
  num_tasks: int
  names: tuple[str, ...] = ()
  vocabulary_owners: tuple[int | None, ...] = ()
  numeric_names: tuple[str, ...] = ()
  groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
  quantiles: tuple[tuple[float, ...], ...] = ()
  missing: tuple[int, ...] = ()
  distinct: tuple[int, ...] = ()
  tasks: tuple[str, ...] = ()
  losses: tuple[TaskLoss, ...] = ()
  parents: tuple[int | None, ...] = ()
  sampling: Sampling | None = None
  only_after: tuple[str, ...] = ()
  pretrained: tuple[Pretrained, ...] = ()
  derived: tuple[Derived, ...] = ()

  @property
  def input_widths(self) -> tuple[tuple[int, str], ...]:
    """Last dimension and dtype of categorical, multi_valued and numeric."""
    slots = sum(width for _, width in self.multi_valued)
    return (
      (len(self.categorical), 'int32'),
      (slots, 'int32'),
      (self.numeric, 'float32'),
    )

  @property
  def outputs(self) -> tuple[int, ...]:
    """Consecutive output columns of the network for each task."""
    if not self.losses:
      return (1,) * self.num_tasks
    return tuple(loss.outputs for loss in self.losses)

  @property
  def units(self) -> tuple[int, ...]:
    """Outputs of each task's tower; a task's first one is its main one."""
    if not self.losses:
      return (1,) * self.num_tasks
    return tuple(loss.units for loss in self.losses)

  @property
  def first_units(self) -> tuple[int, ...]:
    """The column of each task's first unit among those of all towers."""
    return tuple(sum(self.units[:k]) for k in range(self.num_tasks))


class Inputs(NamedTuple):
  """The features of rows, a network's inputs.

  Attributes:
    categorical: i32[..., F], a row of each field's own vocabulary.
    multi_valued: i32[..., M], the slots of all multi-valued fields side by
      side, -1 in unused slots; every field uses at least one slot.
    numeric: f32[..., N], normalised; NaN where missing (FeatureSpec.missing).
    segment: i32[..., T], as in Batch, for critics that see how much of the
      session is left; None where rows are not in lanes.
  """

  categorical: Array
  multi_valued: Array
  numeric: Array
  segment: Array | None = None


class Batch(NamedTuple):
  """Lanes of packed sessions, [L, T] slots; one lane is [T].

  Attributes:
    inputs: the features, leading dimensions [L, T].
    labels: f32[L, T, K]; of a binary task 0 or 1.
    mask: bool[L, T], true where the slot contains a row.
    is_last: bool[L, T], true at the last row of a session; false at a cut.
    segment: i32[L, T], equal within one session of the lane, -1 in padding.
    row: i32[L, T], the row's position in its split, -1 in padding.
    sample_weight: f32[L, T, K] >= 0, how much a row's label counts, 0 where it
      is not observed (it is 0 there too); None: every row counts 1.
  """

  inputs: Inputs
  labels: Array
  mask: Array
  is_last: Array
  segment: Array
  row: Array
  sample_weight: Array | None = None


def check_ranks(ranks: tuple[int, ...], *arrays: Array) -> None:
  """Raises ValueError unless the arrays have these ranks."""
  found = tuple(a.ndim for a in arrays)
  if found != ranks:
    raise ValueError(f'expected arrays of ranks {ranks}, found {found}')


def check_same_shape(*arrays: Array) -> None:
  """Raises ValueError unless all arrays have the same shape."""
  shapes = {a.shape for a in arrays}
  if len(shapes) > 1:
    raise ValueError(f'expected one shape, found {sorted(shapes)}')

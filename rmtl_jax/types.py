"""The arrays that travel together, and the error that a person reads.

Shapes use these letters throughout the package: `L` lanes of a batch, `T`
slots of a lane, `K` tasks, `F` categorical fields, `M` multi-valued slots (all
multi-valued fields side by side), `N` numeric fields.
"""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
  import jax
  import numpy as np

  Array = jax.Array | np.ndarray


class InputError(Exception):
  """Bad input or bad usage, said in one line; the launcher exits with 2.

  The message names what is needed to mend it: the file, the column and the
  row where there are such, what was found and what was expected.
  """


def first_line(error: BaseException) -> str:
  """The first line of what an error says; if it says nothing, its type.

  >>> first_line(ValueError('no such row\\nin 3 rows'))
  'no such row'
  """
  return (str(error).strip() or type(error).__name__).splitlines()[0]


@dataclasses.dataclass(frozen=True)
class FeatureSpec:
  """What a network must know of the data: vocabulary sizes and widths.

  Attributes:
    categorical: rows of each categorical field's vocabulary, row 0 (missing,
      unseen or rare) included.
    multi_valued: (vocabulary rows, slots) of each multi-valued field.
    numeric: number of numeric fields.
    num_tasks: K.
    names: of the categorical, then the multi-valued fields; settings that name
      a field need them.
    item: which of the categorical fields is the item, or None.
    vocabulary_owners: for each multi-valued field, the place of the categorical
      field that lends it vocabulary and embeddings, or None; empty if none
      does.
    numeric_names: of the numeric fields.
    groups: (name, names of its fields) of each group of as-of features; one
      that the data lacks has none.
    item_side: places in `names` of the fields that tell of the item alone
      (preparation/sides.py), the item among them.
    user_side: likewise of the user.
    previous: (categorical field, row of its vocabulary) pairs: the field has
      that row where a positive of a task is known of the session's row before
      (data/asof_feedback.previous); a pair per task that tells.
    distinct: room for the distinct values that a training batch has of each
      categorical field (data/batches.distinct_room); empty where unknown.
  """

  categorical: tuple[int, ...]
  multi_valued: tuple[tuple[int, int], ...]
  numeric: int
  num_tasks: int
  names: tuple[str, ...] = ()
  item: int | None = None
  vocabulary_owners: tuple[int | None, ...] = ()
  numeric_names: tuple[str, ...] = ()
  groups: tuple[tuple[str, tuple[str, ...]], ...] = ()
  item_side: tuple[int, ...] = ()
  user_side: tuple[int, ...] = ()
  previous: tuple[tuple[int, int], ...] = ()
  distinct: tuple[int, ...] = ()


class Inputs(NamedTuple):
  """The features of rows: what a network sees.

  Attributes:
    categorical: i32[..., F], a row of each field's own vocabulary.
    multi_valued: i32[..., M], the slots of all multi-valued fields side by
      side, -1 in unused slots; every field uses at least one slot.
    numeric: f32[..., N], normalised.
    segment: i32[..., T], as in Batch, for encoders of the session so far; None
      where rows are not in lanes.
    time: i32[...], rises with time within a session and is equal for its rows
      of one time, which don't see each other; None where nothing reads
      sessions.
  """

  categorical: Array
  multi_valued: Array
  numeric: Array
  segment: Array | None = None
  time: Array | None = None


class Batch(NamedTuple):
  """Lanes of packed sessions, [L, T] slots; one lane is [T].

  Attributes:
    inputs: the features, leading dimensions [L, T].
    labels: f32[L, T, K], 0 or 1.
    mask: bool[L, T], true where the slot holds a row.
    is_last: bool[L, T], true at the last row of a session; false at a cut.
    segment: i32[L, T], equal within one session of the lane, -1 in padding.
    row: i32[L, T], the row's position in its split, -1 in padding.
  """

  inputs: Inputs
  labels: Array
  mask: Array
  is_last: Array
  segment: Array
  row: Array


def check_ranks(ranks: tuple[int, ...], *arrays: Array) -> None:
  """Raises ValueError unless each array has the rank that belongs to it."""
  found = tuple(a.ndim for a in arrays)
  if found != ranks:
    raise ValueError(f'expected arrays of ranks {ranks}, found {found}')


def check_same_shape(*arrays: Array) -> None:
  """Raises ValueError unless all arrays have one shape."""
  shapes = {a.shape for a in arrays}
  if len(shapes) > 1:
    raise ValueError(f'expected one shape, found {sorted(shapes)}')

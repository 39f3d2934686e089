"""What forms of trees share: their limits, and how one tree is grown.

Splits are found by second-order gains over histograms of binned columns (Chen
and Guestrin, "XGBoost", KDD 2016, Eq. 5-7; Ke et al., "LightGBM", NeurIPS
2017). A form says what the nodes of its trees ask: `oblivious` and
`category_splits` are one each. `boosting` grows many trees of a form.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

# Of the first derivatives, and of the second.
Sums = tuple[jax.Array, jax.Array]

# Bins of a column, which bytes number.
BINS = 64
_FEW_BINS = 256
# L2 of leaves, and the least sum of second derivatives on a side that counts.
L2, LEAST = 20.0, 5.0


class Limits(NamedTuple):
  """What trees may ask; a form compiles once, whatever its limits.

  Attributes:
    columns: places of C columns, the allowed ones first, i32[C].
    allowed: how many of them trees may ask of, i32.
    sampled: how many of the allowed ones a tree samples, i32.
    l2: of leaves, f32.
    least: sum of second derivatives on a side that counts, f32.
  """

  columns: Any
  allowed: Any
  sampled: Any
  l2: Any
  least: Any


class Form(Protocol):
  """What the nodes of trees ask; equal ones share a compiled program."""

  @property
  def dtype(self) -> np.dtype[Any]:
    """Of the columns."""
    ...

  @property
  def sampled(self) -> tuple[float, int]:
    """The share of columns that a tree samples, and how many at least."""
    ...

  def grow(
    self,
    bins: jax.Array,
    derivatives: jax.Array,
    limits: Limits,
    key: jax.Array,
  ) -> Any:
    """One tree.

    Args:
      bins: of all columns, as in `Rows`, [C, R].
      derivatives: first and second, of the losses, f32[R, 2].
      key: of the columns that the tree samples.

    Returns:
      A NamedTuple of arrays, among them `leaves`, the Newton step of each leaf.
    """
    ...

  def predict(self, bins: jax.Array, tree: Any) -> jax.Array:
    """What a tree adds to the logits of rows, bins [C, R] -> f32[R]."""
    ...


def make_limits(
  form: Form,
  columns: int,
  places: Sequence[int] | np.ndarray,
  l2: float = L2,
  least: float = LEAST,
) -> Limits:
  """Limits of trees that ask of these columns only.

  Args:
    columns: C.
    places: of the allowed ones, below C.
    l2: of leaves.
    least: sum of second derivatives on a side that counts.
  """
  others = np.setdiff1d(np.arange(columns), places)
  order = np.concatenate([places, others]).astype(np.int32)
  return Limits(
    columns=order,
    allowed=np.int32(len(places)),
    sampled=np.int32(count_sampled(form, len(places))),
    l2=np.float32(l2),
    least=np.float32(least),
  )


def count_sampled(form: Form, columns: int) -> int:
  """How many of so many columns a tree samples."""
  share, least = form.sampled
  return max(int(np.ceil(share * columns)), min(columns, least))


def sample_columns(
  form: Form,
  columns: jax.Array | np.ndarray,
  allowed: jax.Array | int,
  key: jax.Array,
) -> jax.Array:
  """Samples the columns of one tree, without replacement.

  Args:
    columns: their places, i32[C].
    allowed: how many of these, the first ones, may be sampled.
    key: of the draw; other columns behind the allowed ones don't change it.

  Returns:
    As many places as a tree samples of C columns, i32[S]; where fewer are
    allowed, others are behind these.
  """
  order = jnp.arange(len(columns))
  bits = jax.random.bits(jax.random.split(key)[1], (len(columns),))
  bits = jnp.where(order < allowed, bits, ~jnp.zeros_like(bits))
  _, drawn = jax.lax.sort_key_val(bits, jnp.asarray(columns))
  return drawn[: count_sampled(form, len(columns))]


def histograms(
  columns: jax.Array,
  count: jax.Array | int,
  leaf: jax.Array,
  derivatives: jax.Array,
  nodes: int,
  bins: int,
) -> Sums:
  """Sums of both derivatives, by column, node and bin.

  One column after the other: a sum over places of one is fast on a CPU, and
  faster of one complex number than of two real ones.

  Args:
    columns: whole numbers below `bins`, [C, R].
    count: of the columns, those that are wanted; sums of others are 0.
    leaf: the node of each row, i32[R].
    derivatives: f32[R, 2].
    nodes: N.
    bins: B.

  Returns:
    Of the first derivatives and of the second, f32[C, N, B] each.
  """
  both = jax.lax.complex(derivatives[:, 0], derivatives[:, 1])
  # Unsigned places need no look at their signs.
  first_place = leaf.astype(jnp.uint32) * bins

  def add(number, sums):
    first, second = sums
    place = first_place + columns[number]
    own = jnp.zeros(nodes * bins, both.dtype)
    own = own.at[place].add(both, mode='promise_in_bounds')
    own = own.reshape(nodes, bins)
    return first.at[number].set(own.real), second.at[number].set(own.imag)

  nothing = jnp.zeros((len(columns), nodes, bins))
  return jax.lax.fori_loop(0, count, add, (nothing, nothing))


def steps(
  leaf: jax.Array, derivatives: jax.Array, depth: int, l2: jax.Array
) -> jax.Array:
  """The Newton step of each leaf, f32[2**depth]."""
  sums = jnp.zeros((2**depth, 2)).at[leaf].add(derivatives)
  return -sums[:, 0] / (sums[:, 1] + l2)


def gains(sums: Sums, limits: Limits, more: float = 0.0) -> jax.Array:
  """What it gains to part the bins of a node behind each one.

  Args:
    sums: of both derivatives, f32[..., B] each.
    more: L2 that both parts have beside that of leaves.

  Returns:
    f32[..., B]; 0 where a part has too few rows.
  """
  no = _up_to(sums[0]), _up_to(sums[1])
  whole = no[0][..., -1:], no[1][..., -1:]
  yes = whole[0] - no[0], whole[1] - no[1]

  def score(side, l2):
    first, second = side
    return jnp.square(first) / (second + l2)

  least, l2 = limits.least, limits.l2
  counts = (no[1] >= least) & (yes[1] >= least)
  gain = score(no, l2 + more) + score(yes, l2 + more) - score(whole, l2)
  return jnp.where(counts, gain, 0.0)


def _up_to(values: jax.Array) -> jax.Array:
  """Sums of the values up to each one, f32[..., B].

  On a CPU a product is several times as fast as `cumsum`, if bins are few.
  """
  bins = values.shape[-1]
  if bins > _FEW_BINS:
    return jnp.cumsum(values, -1)
  is_counted = jnp.triu(jnp.ones((bins, bins), values.dtype))
  return jnp.matmul(values, is_counted, precision=jax.lax.Precision.HIGHEST)

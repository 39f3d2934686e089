"""Numeric fields as piecewise-linear encodings, a block for each.

A linear layer sees a number as one slope. The encoding of Gorishniy, Rubachev
and Babenko (NeurIPS 2022, section 3.2) gives it a slope per bin: with edges
b_0 < ... < b_B, quantiles over train rows, component i of x is

    e_i(x) = (x - b_{i-1}) / (b_i - b_{i-1}), clipped to [0, 1],

but the first component is not clipped below and the last not above. They stop
at -1 and at 2 here, one bin's width beyond the edges, so that outliers stay as
small as other values are.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import layers

# Lower bound of the first component and upper bound of the last.
BELOW, ABOVE = -1.0, 2.0
# Narrower bins would make 1 / width infinite in float32.
_NARROWEST = 1e-30


def num_blocks(spec: types.FeatureSpec, numeric_encoding: str) -> int:
  """Blocks of the numeric fields.

  Returns:
    One for all fields together if `linear`, else one for each.
  """
  if numeric_encoding == 'piecewise':
    return spec.numeric
  return int(spec.numeric > 0)


class Bins(NamedTuple):
  """The bins of N fields, padded to the most that a field has, f32[N, B].

  A component is clip((x - start) / width, low, high). Padding has low and high
  0. A field without quantiles has one component, x itself.

  Attributes:
    start: a bin's lower edge.
    scale: 1 / width.
    low: least value of a component.
    high: largest value of a component.
  """

  start: np.ndarray
  scale: np.ndarray
  low: np.ndarray
  high: np.ndarray

  @classmethod
  def of(cls, quantiles: Sequence[Sequence[float]]) -> Bins:
    """The bins between each field's quantiles; () for a field without."""
    # Numbers distinct in float64 may be equal in float32.
    edges = [np.unique(np.asarray(q, np.float32)) for q in quantiles]
    most = max([1, *(len(e) - 1 for e in edges)])
    bins = cls(*np.zeros((4, len(edges), most), np.float32))
    for n, found in enumerate(edges):
      count = len(found) - 1
      if count < 1:
        bins.scale[n, 0], bins.low[n, 0], bins.high[n, 0] = 1, -np.inf, np.inf
        continue
      widths = np.maximum(np.diff(found.astype(np.float64)), _NARROWEST)
      bins.start[n, :count] = found[:-1]
      bins.scale[n, :count] = 1 / widths
      bins.high[n, :count] = 1
      bins.low[n, 0], bins.high[n, count - 1] = BELOW, ABOVE
    return bins

  def encode(self, x: types.Array) -> jax.Array:
    """Components of f32[T, N], f32[T, N, B]."""
    found = (jnp.asarray(x)[:, :, None] - self.start[None]) * self.scale[None]
    return jnp.clip(found, self.low[None], self.high[None])

  def find(self, x: types.Array) -> tuple[jax.Array, jax.Array]:
    """Where values lie, of f32[T, N].

    Returns:
      The bin of each value, as its place among those of all fields, i32[T, N];
      and the component there, f32[T, N]. Components of the field's bins before
      are 1, and of those behind 0.
    """
    x = jnp.asarray(x)
    start = np.where(self.high > self.low, self.start, np.inf)
    search = functools.partial(jnp.searchsorted, side='right')
    above = jax.vmap(search, (0, 1), 1)(jnp.asarray(start), x)
    of_field = jnp.clip(above - 1, 0, self.counts()[None] - 1)
    fields, most = self.start.shape
    place = of_field + most * np.arange(fields, dtype=np.int32)[None]

    def there(values):
      values = jnp.asarray(values).reshape(-1)
      return values.at[place].get(mode='promise_in_bounds')

    found = (x - there(self.start)) * there(self.scale)
    return place, jnp.clip(found, there(self.low), there(self.high))

  def counts(self) -> np.ndarray:
    """Components of each field, i64[N]."""
    return np.count_nonzero(self.high > self.low, axis=1)


class Piecewise(nnx.Module):
  """Maps each field's components to a block by a separate linear layer.

  At the start a block is a linear function of the value's rank among train
  rows: its D numbers have variance 1 / N over rows of equally full bins, and
  mean 0, as the N fields' shares of the linear form's block have.

  Args:
    spec: the data's fields; `quantiles` of the numeric ones.
    config: embedding_dim.
    rngs: where the initial values come from.

  Attributes:
    bins: the fields' bins.
    slopes: A, f32[N, B, D]; zero at padding, where no component is.
    offset: c, f32[N, D].
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    self.quantiles = spec.quantiles or ((),) * spec.numeric
    bins = self.bins
    # A rank, uniform in [0, 1], has mean 1/2 and variance 1/12.
    counts = bins.counts()
    ranked = np.isfinite(bins.low[:, 0])
    slopes = np.where(ranked, np.sqrt(12.0) / counts, 1.0)
    used = np.arange(bins.start.shape[1])[None, :] < counts[:, None]
    weight = jnp.asarray(np.where(used, slopes[:, None], 0.0), jnp.float32)
    offset = jnp.asarray(np.where(ranked, -np.sqrt(3.0), 0.0), jnp.float32)
    direction = layers.init_kernel(
      rngs.params(), (spec.numeric, config.embedding_dim), layers.LECUN
    )
    self.slopes = nnx.Param(weight[:, :, None] * direction[:, None, :])
    self.offset = nnx.Param(offset[:, None] * direction)

  @property
  def bins(self) -> Bins:
    """The fields' bins."""
    return Bins.of(self.quantiles)

  def blocks(self, x: types.Array) -> jax.Array:
    """The blocks themselves, f32[T, N] -> f32[T, N, D]."""
    slopes = self.slopes[...]
    if jax.default_backend() == 'cpu':
      blocks = self._looked_up(x, slopes)
    else:
      blocks = jnp.einsum('tnb,nbd->tnd', self.bins.encode(x), slopes)
    return blocks + self.offset[...][None]

  def _looked_up(self, x: types.Array, slopes: jax.Array) -> jax.Array:
    """Blocks without the offset, from one bin of each value.

    On a CPU two rows of tables are a third of the work of the product with all
    components, most of which are 0 or 1.
    """
    fields, most, dim = slopes.shape
    is_before = np.tri(most, k=-1, dtype=np.float32)
    before = jnp.einsum('cb,nbd->ncd', is_before, slopes)
    place, component = self.bins.find(x)

    def rows(table):
      table = table.reshape(fields * most, dim)
      return table.at[place].get(mode='promise_in_bounds')

    return rows(before) + component[..., None] * rows(slopes)

  def through(self, x: types.Array, kernel: jax.Array) -> jax.Array:
    """The blocks through the first layer, sum_n (e_n A_n + c_n) W_n.

    Where blocks are narrower than bins are many, as blocks; else A_n W_n comes
    first, one GEMM of N B rows whatever D is.

    Args:
      x: f32[T, N].
      kernel: W, f32[N, D, width].

    Returns:
      f32[T, width].
    """
    fields, dim, width = kernel.shape
    flat = kernel.reshape(fields * dim, width)
    bins = self.bins.start.shape[1]
    # A row's products: 3 D width in a step by blocks (forward, and the
    # gradients of blocks and kernel), 2 B width by bins (components have no
    # gradient). The cost of a row through A_n alone is small.
    if 3 * dim <= 2 * bins:
      return self.blocks(x).reshape(-1, fields * dim) @ flat
    components = self.bins.encode(x)
    folded = jnp.einsum('nbd,ndw->nbw', self.slopes[...], kernel)
    y = components.reshape(len(components), -1) @ folded.reshape(-1, width)
    return y + (self.offset[...].reshape(-1) @ flat)[None, :]

"""Encoders of the session so far: features of a row from the rows before it.

Each reads the item's embeddings of a whole lane at once and gives every row D
numbers that depend on the rows of its session with a strictly earlier time
(and, for `target_attention`, on its own item, the query). Rows of one time
don't see each other, and their order makes no difference to later rows.
Padding and a session's rows of its first time get zeros. A session that was
cut starts afresh at the cut.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import layers

# Score of masked entries of a softmax; finite, so that no gradient is NaN.
_NEVER = -1e30


def places(inputs: types.Inputs) -> tuple[jax.Array, jax.Array]:
  """Sessions and times of a lane's rows, i32[T] both.

  Raises:
    ValueError: the rows are in no lanes, or have no times.
  """
  if inputs.segment is None or inputs.time is None:
    raise ValueError('expected rows in lanes, with segments and times')
  return jnp.asarray(inputs.segment), jnp.asarray(inputs.time)


def earlier(segment: jax.Array, time: jax.Array) -> jax.Array:
  """Which rows of a lane are a row's history.

  Args:
    segment: equal within one session of the lane, -1 in padding, i32[T].
    time: as in types.Inputs, i32[T].

  Returns:
    bool[T, T], [t, s] true where row s is of an earlier time than row t, in
    one session.
  """
  same = segment[:, None] == segment[None, :]
  before = time[None, :] < time[:, None]
  return same & before & (segment >= 0)[:, None]


def attend(scores: jax.Array, seen: jax.Array, values: jax.Array) -> jax.Array:
  """Mixtures of the rows that a row sees; zero where it sees none.

  Args:
    scores: of row t (first axis) for row s, f32[T, T].
    seen: bool[T, T].
    values: f32[T, D].

  Returns:
    sum_s softmax_s(scores) values, f32[T, D].
  """
  shares = jax.nn.softmax(jnp.where(seen, scores, _NEVER), axis=1)
  return jnp.where(seen, shares, 0.0) @ values


class Mean(nnx.Module):
  """The mean of the earlier items."""

  def __init__(self, config: config_lib.NetworkConfig, rngs: nnx.Rngs):
    """Has no parameters."""

  def __call__(
    self, items: jax.Array, segment: jax.Array, time: jax.Array
  ) -> jax.Array:
    """Embeddings f32[T, D], sessions and times i32[T] -> f32[T, D]."""
    seen = earlier(segment, time).astype(items.dtype)
    count = jnp.sum(seen, axis=1, keepdims=True)
    return seen @ items / jnp.maximum(count, 1.0)


class TargetAttention(nnx.Module):
  """Attention of the row's item over the earlier ones (DIN).

  The scores come from an MLP of one hidden layer on both embeddings and their
  product, as in Zhou et al. (KDD 2018, section 4.3). Two differences: softmax
  makes them weights, so that long lists have no larger numbers; and the
  difference of the embeddings is no input, since the layer is linear in both.
  """

  def __init__(self, config: config_lib.NetworkConfig, rngs: nnx.Rngs):
    dim = config.embedding_dim
    units = max(dim // 2, 1)
    kernel = layers.init_kernel(rngs.params(), (3 * dim, units), layers.HE)
    self.kernel = nnx.Param(kernel.reshape(3, dim, units))
    self.bias = nnx.Param(jnp.zeros((units,)))
    # Without a bias, which softmax would take away.
    self.score = nnx.Param(
      layers.init_kernel(rngs.params(), (units, 1), layers.LECUN)
    )

  def __call__(
    self, items: jax.Array, segment: jax.Array, time: jax.Array
  ) -> jax.Array:
    """Embeddings f32[T, D], sessions and times i32[T] -> f32[T, D]."""
    rows, dim = items.shape
    for_query, for_key, for_product = layers.unstack(self.kernel[...])
    units = for_query.shape[1]
    # (q * k) W of all pairs by one GEMM: each query takes its own q * W.
    own = items[:, None, :] * for_product.T[None, :, :]
    pairs = (own.reshape(rows * units, dim) @ items.T).reshape(
      rows, units, rows
    )
    query = items @ for_query + self.bias[...][None, :]
    key = items @ for_key
    # Rows x rows x units: one layer on both items and their product.
    hidden = jax.nn.relu(pairs + query[:, :, None] + key.T[None, :, :])
    scores = jnp.sum(hidden * self.score[...][None, :, :], axis=1)
    return attend(scores, earlier(segment, time), items)


def make(config: config_lib.NetworkConfig, rngs: nnx.Rngs) -> Any:
  """The encoder that the settings name.

  Returns:
    A module: (items f32[T, D], segment i32[T], time i32[T]) -> f32[T, D].
  """
  encoders = {'mean': Mean, 'target_attention': TargetAttention}
  return encoders[config.session_encoder](config, rngs)

"""Encoders of the session so far: what a row knows of the rows before it.

Each reads the item's embeddings of a whole lane at once and gives every row D
numbers that depend on the rows of its session with a strictly earlier time
(and, for `target_attention`, on its own item, the query). Rows of one time
don't see each other, and their order makes no difference to later rows.
Padding and a session's rows of its first time get zeros. A session that was
cut starts anew at the cut.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import draws, layers, precision

# Rows of the transformer's table of positions; later rows share the last one.
POSITIONS = 64
# Blocks of the transformer.
BLOCKS = 1

# Score of what a softmax must leave out; finite, so that no gradient is NaN.
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


def latest(history: jax.Array, time: jax.Array) -> jax.Array:
  """The last of a row's history: all rows of the time before, bool[T, T].

  Args:
    history: from `earlier`.
    time: as there.
  """
  never = jnp.iinfo(jnp.int32).min
  last = jnp.max(jnp.where(history, time[None, :], never), axis=1)
  return history & (time[None, :] == last[:, None])


def fold(
  step: Callable[[Any, Any, jax.Array], tuple[Any, jax.Array]],
  start: Any,
  rows: Any,
  segment: jax.Array,
  time: jax.Array,
) -> jax.Array:
  """A recurrence over a lane, which rows of one time enter side by side.

  Each starts from the state before their time, and the state after it is the
  mean of theirs: a function of the set, whatever the order of its rows.

  Args:
    step: step(state before the row's time, row, whether the session has an
      earlier time) -> (state after the row, output).
    start: a state; only its shape counts.
    rows: leading dimension [T].
    segment: as in `earlier`.
    time: as there.

  Returns:
    The outputs, leading dimension [T].
  """
  goes_on = jnp.any(earlier(segment, time), axis=1)
  # Rows of one time of a session are neighbours in their lane.
  tied = (segment[1:] == segment[:-1]) & (time[1:] == time[:-1])
  tied = jnp.concatenate([jnp.zeros(1, bool), tied], axis=0)

  def one(carry, slot):
    before, total, count = carry
    row, goes_on, tied = slot
    mean = jax.tree.map(lambda x: x / jnp.maximum(count, 1.0), total)
    # The first row of a new time closes the time before.
    before = jax.tree.map(
      lambda old, new: jnp.where(tied, old, new), before, mean
    )
    state, output = step(before, row, goes_on)
    new_total = jax.tree.map(
      lambda old, new: jnp.where(tied, old, 0.0) + new, total, state
    )
    return (before, new_total, jnp.where(tied, count, 0.0) + 1.0), output

  carry = (start, start, jnp.zeros(()))
  return jax.lax.scan(one, carry, (rows, goes_on, tied))[1]


def attend(scores: jax.Array, seen: jax.Array, values: jax.Array) -> jax.Array:
  """Mixtures of the rows that a row sees; zero where it sees none.

  Args:
    scores: of row t (first axis) for row s, f32[T, T].
    seen: bool[T, T].
    values: f32[T, D].

  Returns:
    sum_s softmax_s(scores) values, f32[T, D].
  """
  return weights(scores, seen) @ values


def weights(scores: jax.Array, seen: jax.Array) -> jax.Array:
  """Softmax over what a row sees; zeros where it sees nothing.

  Args:
    scores: f32[T, S].
    seen: bool[T, S].

  Returns:
    f32[T, S].
  """
  shares = jax.nn.softmax(jnp.where(seen, scores, _NEVER), axis=1)
  return jnp.where(seen, shares, 0.0)


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


class AttentionUnit(nnx.Module):
  """The parameters with which an item scores earlier ones (DIN).

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


class TargetAttention(AttentionUnit):
  """Attention of the row's item over the earlier ones (DIN)."""

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
    query = precision.product(items, for_query) + self.bias[...][None, :]
    key = precision.product(items, for_key)
    # Rows x rows x units: one layer on both items and their product.
    hidden = jax.nn.relu(pairs + query[:, :, None] + key.T[None, :, :])
    scores = jnp.sum(hidden * self.score[...][None, :, :], axis=1)
    return attend(scores, earlier(segment, time), items)


class Gru(nnx.Module):
  """The state of a GRU that has read the earlier items (as GRU4Rec).

  Cho et al. (2014), used so by Hidasi et al. (ICLR 2016); the reset gate acts
  after the product with the state, so that a step has one product. Items of
  one time have no order: see `fold`.
  """

  def __init__(self, config: config_lib.NetworkConfig, rngs: nnx.Rngs):
    dim = config.embedding_dim
    self.item = layers.Linear(dim, 3 * dim, layers.LECUN, rngs)
    self.state = layers.Linear(dim, 3 * dim, layers.LECUN, rngs)

  def __call__(
    self, items: jax.Array, segment: jax.Array, time: jax.Array
  ) -> jax.Array:
    """Embeddings f32[T, D], sessions and times i32[T] -> f32[T, D]."""
    kernel, bias = self.state.kernel[...], self.state.bias[...]

    def step(state, item, goes_on):
      state = jnp.where(goes_on, state, 0.0)
      product = precision.product(state[None, :], kernel)[0]
      return gru_cell(item, product + bias, state), state

    start = jnp.zeros((items.shape[1],), items.dtype)
    return fold(step, start, self.item(items), segment, time)


def gru_cell(item: jax.Array, product: jax.Array, state: jax.Array) -> Any:
  """The next state: z h + (1 - z) tanh(x_n + r h_n).

  Args:
    item: x W + b, for the gates z and r and the candidate n, f32[3 D].
    product: the state's h U + c for the same, f32[3 D].
    state: h, f32[D].

  Returns:
    f32[D].
  """
  x_z, x_r, x_n = jnp.split(item, 3)
  h_z, h_r, h_n = jnp.split(product, 3)
  keep = jax.nn.sigmoid(x_z + h_z)
  reset = jax.nn.sigmoid(x_r + h_r)
  return keep * state + (1.0 - keep) * jnp.tanh(x_n + reset * h_n)


class Block(nnx.Module):
  """Attention, then a layer of D units; a sum around each, norms ahead."""

  def __init__(self, config: config_lib.NetworkConfig, rngs: nnx.Rngs):
    dim = config.embedding_dim
    self.norm_attention = nnx.LayerNorm(dim, rngs=rngs)
    self.projections = nnx.Param(
      layers.init_kernel(rngs.params(), (dim, 3 * dim), layers.LECUN)
    )
    self.norm_hidden = nnx.LayerNorm(dim, rngs=rngs)
    self.hidden = layers.Linear(dim, dim, layers.HE, rngs)
    self.output = layers.Linear(dim, dim, layers.LECUN, rngs)

  def __call__(self, x: jax.Array, seen: jax.Array) -> jax.Array:
    """Rows f32[T, D], and which they see bool[T, T] -> f32[T, D]."""
    projected = precision.product(self.norm_attention(x), self.projections[...])
    query, key, value = jnp.split(projected, 3, axis=1)
    scores = query @ key.T * x.shape[1] ** -0.5
    x = x + attend(scores, seen, value)
    hidden = jax.nn.relu(self.hidden(self.norm_hidden(x)))
    return x + self.output(hidden)


class Transformer(nnx.Module):
  """A causal transformer's output at the row before (as SASRec).

  Kang and McAuley (ICDM 2018): items plus positions within the session, one
  head, no dropout. A row sees itself and the rows of earlier times; their
  number is its position. Where the time before has several rows, the mean of
  its outputs at them.
  """

  def __init__(self, config: config_lib.NetworkConfig, rngs: nnx.Rngs):
    shape = (POSITIONS, config.embedding_dim)
    drawn = draws.draw(jax.random.normal, rngs.params(), shape)
    self.positions = nnx.Param(config.embedding_scale * drawn)
    for i in range(BLOCKS):
      setattr(self, f'block_{i}', Block(config, rngs))
    # As small as a fresh embedding. With 1, networks learn sessions by heart:
    # it cost PLE 0.022 AUC on a small log.
    self.norm = nnx.LayerNorm(
      config.embedding_dim,
      scale_init=nnx.initializers.constant(config.embedding_scale),
      rngs=rngs,
    )

  def __call__(
    self, items: jax.Array, segment: jax.Array, time: jax.Array
  ) -> jax.Array:
    """Embeddings f32[T, D], sessions and times i32[T] -> f32[T, D]."""
    history = earlier(segment, time)
    position = jnp.sum(history, axis=1, dtype=jnp.int32)
    x = items + jnp.take(self.positions[...], position, axis=0, mode='clip')
    seen = history | jnp.eye(items.shape[0], dtype=bool)
    for i in range(BLOCKS):
      x = getattr(self, f'block_{i}')(x, seen)
    before = latest(history, time).astype(items.dtype)
    count = jnp.sum(before, axis=1, keepdims=True)
    # Not rounded: of one row, the sum is that row.
    total = jnp.matmul(before, self.norm(x), precision='highest')
    return total / jnp.maximum(count, 1.0)


_ENCODERS = {
  'mean': Mean,
  'target_attention': TargetAttention,
  'gru': Gru,
  'transformer': Transformer,
}


def make(config: config_lib.NetworkConfig, rngs: nnx.Rngs) -> Any:
  """The encoder that the settings name.

  Returns:
    A module: (items f32[T, D], segment i32[T], time i32[T]) -> f32[T, D].
  """
  return _ENCODERS[config.session_encoder](config, rngs)

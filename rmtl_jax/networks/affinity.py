"""A factorised affinity of user and item, beside a backbone's towers.

A multi-layer perceptron needs many rows to learn a product of two vectors
(Rendle et al., RecSys 2020, arXiv:2005.09683). So every category has, beside
its embedding, `affinity_dim` factors and a term per task, as in a
factorisation machine (Rendle, ICDM 2010); here only the user's side meets the
item's, each the sum of its fields' factors, as in hybrid matrix factorisation
(Kula, arXiv:1507.08439). The user's side can move as the session goes: a
positive draws it to what was shown.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import features, history, session

# Standard deviation of the factors' initial values.
SCALE = 0.3
# Where the shares that move the user's side start.
PULL = 0.2
RETURN = 0.05


def check(spec: types.FeatureSpec, config: config_lib.NetworkConfig) -> None:
  """Raises InputError where an affinity is set and the data have no item."""
  if config.affinity_dim and spec.item is None:
    raise types.InputError(
      f'config.network.affinity_dim: {config.affinity_dim} needs data whose'
      ' manifest.json names an item_field, found none'
    )


class Affinity(nnx.Module):
  """What user and item, and every category alone, add to a task's logit.

  Attributes:
    table: of all fields below each other, as in FirstLayer: the factors, then
      a term per task, f32[sum of sizes, d + K]; rows 0 start at zero.
    numeric: f32[N, K], where N > 0.
    scale: of the affinity in each task's logit, f32[K].
    pull: logits of the shares of the way to the item that a positive draws the
      user's side, f32[tasks that tell].
    back: logit of the share of the way home that every row draws it, f32[].
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    dim, tasks = config.affinity_dim, spec.num_tasks
    self.spec = spec
    self.dim = dim
    self.moves = config.affinity_state == 'session' and bool(spec.previous)
    factors = SCALE * features.init_rows(rngs.params(), spec, config, dim)
    self.table = nnx.Param(jnp.pad(factors, ((0, 0), (0, tasks))))
    if spec.numeric:
      self.numeric = nnx.Param(jnp.zeros((spec.numeric, tasks)))
    self.scale = nnx.Param(jnp.ones((tasks,)))
    if self.moves:
      self.pull = nnx.Param(jnp.full((len(spec.previous),), _logit(PULL)))
      self.back = nnx.Param(jnp.full((), _logit(RETURN)))

  def __call__(self, inputs: types.Inputs) -> jax.Array:
    """One lane, inputs [T] -> f32[T, K]."""
    fields, dim = self._fields(inputs), self.dim
    rows = jnp.asarray(inputs.categorical).shape[0]
    terms = jnp.zeros((rows, self.scale.shape[0]))
    if self.spec.numeric:
      terms = jnp.asarray(inputs.numeric) @ self.numeric[...]
    terms = sum((field[:, dim:] for field in fields.values()), start=terms)
    user, item = (
      sum((fields[f][:, :dim] for f in side), start=jnp.zeros((rows, dim)))
      for side in (self.spec.user_side, self.spec.item_side)
    )
    if self.moves:
      user = self._moved(user, item, inputs)
    product = jnp.sum(user * item, axis=1, keepdims=True) * self.dim**-0.5
    return terms + product * self.scale[...][None, :]

  def _fields(self, inputs: types.Inputs) -> dict[int, jax.Array]:
    """Each field's row of the table, f32[T, d + K]; of a list their mean.

    Histories are left out: they say who the user is, not what is shown.
    """
    spec, table = self.spec, self.table[...]
    count = len(spec.categorical)
    found = features.of_categories(table, spec, inputs)
    fields = {f: found[:, f] for f in range(count)}
    starts, histories = features.offsets(spec), history.fields(spec)
    widths = [width for _, width in spec.multi_valued]
    slots = jnp.asarray(inputs.multi_valued)
    for i, part in enumerate(jax.lax.split(slots, widths, axis=1)):
      if i not in histories:
        start = int(starts[count + i])
        fields[count + i] = features.mean_of_used(table, part, start)
    return fields

  def _moved(
    self, user: jax.Array, item: jax.Array, inputs: types.Inputs
  ) -> jax.Array:
    """The user's side as the session has moved it before each row.

    x starts a session as the user's side u; after a row, of item v,
    x' = x + sum_k pull_k y_k (v - x) + back (u - x), where y_k is 1 if the
    next row knows of a positive of this one.

    Args:
      user: u, f32[T, d].
      item: v, f32[T, d].
      inputs: leading dimension [T], with segments.

    Returns:
      f32[T, d].
    """
    if inputs.segment is None:
      raise ValueError('expected rows in lanes, with segments')
    goes_on = session.follows(jnp.asarray(inputs.segment))
    categorical = jnp.asarray(inputs.categorical)
    known = jnp.stack(
      [categorical[:, field] == row for field, row in self.spec.previous],
      axis=1,
    )
    pulls = known.astype(item.dtype) @ jax.nn.sigmoid(self.pull[...])
    back = jax.nn.sigmoid(self.back[...])

    def step(carry, row):
      state, shown = carry
      here, item, pull, goes_on = row
      moved = state + pull * (shown - state) + back * (here - state)
      state = jnp.where(goes_on, moved, here)
      return (state, item), state

    start = jnp.zeros((self.dim,), item.dtype)
    _, states = jax.lax.scan(step, (start, start), (user, item, pulls, goes_on))
    return states


def make(
  spec: types.FeatureSpec, config: config_lib.NetworkConfig, rngs: nnx.Rngs
) -> Affinity | None:
  """The affinity that the settings ask for, or None."""
  return Affinity(spec, config, rngs) if config.affinity_dim else None


def added(
  affinity: Affinity | None, logits: jax.Array, inputs: types.Inputs
) -> jax.Array:
  """Logits f32[T, K] of one lane with what the affinity adds to them."""
  return logits if affinity is None else logits + affinity(inputs)


def _logit(share: float) -> float:
  return float(np.log(share / (1 - share)))

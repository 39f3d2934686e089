"""A factorised affinity of user and item, beside a backbone's towers.

A multi-layer perceptron needs many rows to learn a product of two vectors
(Rendle et al., RecSys 2020, arXiv:2005.09683). So every category has, beside
its embedding, `affinity_dim` factors and a term per task, as in a
factorisation machine (Rendle, ICDM 2010); here only the user's side meets the
item's, each the sum of its fields' factors, as in hybrid matrix factorisation
(Kula, arXiv:1507.08439). The user's side can move as the session goes: a
positive draws it to what was shown.

How far a category's numbers may lie from zero depends on its field, and how
much a few rows can tell of them on the log. So they are no points. Each has a
normal posterior (mean-field variational Bayes: for factors Lim and Teh, KDD
Cup 2007; for networks Blundell et al., ICML 2015, arXiv:1505.05424), and its
prior's standard deviation, one per field for the factors and one per field and
task for the terms, is learnt: fields that say nothing are shrunk to nothing.
Training draws from the posterior, in sums as in Kingma, Salimans and Welling
(NeurIPS 2015, arXiv:1506.02557), and pays for its distance to the prior
(prior.py); predictions take the posterior's means.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import embeddings, functional, history, session

# Standard deviations of the prior per unit of the table. Adam moves
# a number by up to a learning rate a step, and the posterior lies about one
# standard deviation away: without it that would take ten times the steps.
STEP = 10.0
# Where the priors' standard deviations start, of factors and of terms.
FACTOR_PRIOR = 0.3
TERM_PRIOR = 0.2
# Where the posteriors start, in standard deviations of their prior: how far
# the factors' means spread, and their own standard deviation.
MEANS = 0.3
SPREAD = 0.7
# Initial step sizes: to an item that had a positive, and back home.
PULL = 0.2
RETURN = 0.05

# Numbers of dropout masks and of draws of initial values are far below: the
# affinity shares keys with none of them.
_DRAWS = 2**21
# Added to a variance ahead of its root, which has no derivative at 0.
_TINY = 1e-12


class Sums(NamedTuple):
  """What a row's fields come to.

  Attributes:
    user: the user's side, f32[T, d].
    item: the item's, f32[T, d].
    terms: f32[T, K].
  """

  user: jax.Array
  item: jax.Array
  terms: jax.Array


class Affinity(nnx.Module):
  """A product of user and item, and a term per category, in each task's logit.

  Attributes:
    table: means of the posteriors, in STEP standard deviations of the prior,
      of all fields below each other as in FirstLayer: the factors, then a term
      per task, f32[sum of sizes, d + K]; rows 0 start at zero.
    spread: logarithms of the posteriors' standard deviations in those of the
      prior, over STEP, f32[sum of sizes, d + K].
    prior: logarithms of the priors' standard deviations, of a field's factors
      and of its terms, f32[fields, 1 + K].
    numeric: f32[N, K], where N > 0.
    scale: of the affinity in each task's logit, f32[K].
    pull: logits of the user's step towards an item at a positive of each task
      that tells, f32[tasks].
    back: logit of the step home at every row, f32[].
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
    means = embeddings.init_rows(rngs.params(), spec, config, dim)
    means = jnp.pad(MEANS / STEP * means, ((0, 0), (0, tasks)))
    self.table = nnx.Param(means)
    self.spread = nnx.Param(jnp.full(means.shape, np.log(SPREAD) / STEP))
    fields = len(spec.categorical) + len(spec.multi_valued)
    priors = np.log([FACTOR_PRIOR, *(TERM_PRIOR,) * tasks])
    self.prior = nnx.Param(jnp.tile(jnp.asarray(priors), (fields, 1)))
    if spec.numeric:
      self.numeric = nnx.Param(jnp.zeros((spec.numeric, tasks)))
    self.scale = nnx.Param(jnp.ones((tasks,)))
    if self.moves:
      self.pull = nnx.Param(
        jnp.full((len(spec.previous),), _logit(PULL), jnp.float32)
      )
      self.back = nnx.Param(jnp.full((), _logit(RETURN), jnp.float32))

  def __call__(
    self, inputs: types.Inputs, key: jax.Array | None = None
  ) -> jax.Array:
    """One lane, inputs [T] -> f32[T, K]; without a key of the means."""
    sums = self._means(inputs)
    # Draw a row's sums, not every category's numbers: the gradient has less
    # variance, and rows of a batch differ (local reparametrisation).
    if key is not None:
      keys = jax.random.split(key, len(sums))
      sums = Sums(*map(_drawn, sums, self._variances(inputs), keys))
    user, item, terms = sums
    if self.spec.numeric:
      terms = terms + jnp.asarray(inputs.numeric) @ self.numeric[...]
    if self.moves:
      user = self._moved(user, item, inputs)
    product = jnp.sum(user * item, axis=1, keepdims=True) * self.dim**-0.5
    return terms + product * self.scale[...][None, :]

  def _means(self, inputs: types.Inputs) -> Sums:
    scales = STEP * self._deviations()
    return self._sums(self._rows(inputs, self.table[...], 1), scales)

  def _variances(self, inputs: types.Inputs) -> Sums:
    """Sums of independent numbers' variances; of a list that of its mean."""
    rows = self._rows(
      inputs, self.spread[...], 2, lambda spread: jnp.exp(2 * STEP * spread)
    )
    return self._sums(rows, self._deviations() ** 2)

  def _deviations(self) -> jax.Array:
    """The priors' standard deviations, f32[fields, d + K]."""
    each = jnp.exp(self.prior[...])
    return jnp.concatenate(
      [jnp.repeat(each[:, :1], self.dim, 1), each[:, 1:]], 1
    )

  def _sums(self, fields: dict[int, jax.Array], scales: jax.Array) -> Sums:
    """Fields f32[T, d + K], times their scales f32[fields, d + K], as sums."""
    dim = self.dim
    scaled = {f: value * scales[f][None, :] for f, value in fields.items()}
    nothing = jnp.zeros_like(next(iter(scaled.values())))
    user, item, all_fields = (
      sum((scaled[f] for f in side), start=nothing)
      for side in (self.spec.user_side, self.spec.item_side, scaled)
    )
    return Sums(user[:, :dim], item[:, :dim], all_fields[:, dim:])

  def _rows(
    self,
    inputs: types.Inputs,
    table: jax.Array,
    power: int,
    of: Callable[[jax.Array], jax.Array] = lambda rows: rows,
  ) -> dict[int, jax.Array]:
    """A function of each field's row of a table, f32[T, d + K].

    Of a list's rows the sum, over their number to a power. Histories are left
    out: they say who the user is, not what is shown.
    """
    spec = self.spec
    count = len(spec.categorical)
    found = of(embeddings.of_categories(table, spec, inputs))
    fields = {f: found[:, f] for f in range(count)}
    starts, histories = embeddings.offsets(spec), history.fields(spec)
    widths = [width for _, width in spec.multi_valued]
    slots = jnp.asarray(inputs.multi_valued)
    for i, part in enumerate(jax.lax.split(slots, widths, axis=1)):
      if i in histories:
        continue
      rows, number = embeddings.of_slots(table, part, int(starts[count + i]))
      values = jnp.where((part >= 0)[:, :, None], of(rows), 0.0)
      fields[count + i] = jnp.sum(values, axis=1) / number**power
    return fields

  def _moved(
    self, user: jax.Array, item: jax.Array, inputs: types.Inputs
  ) -> jax.Array:
    """The user's side as the session has moved it before each row.

    x starts a session as the user's side u; after a row, of item v,
    x' = x + sum_k pull_k y_k (v - x) + back (u - x), where y_k is 1 if the
    next row knows of a positive of this one. Rows of one time all move the x
    before it; x and v of the row before are then the means of theirs.

    Args:
      user: u, f32[T, d].
      item: v, f32[T, d].
      inputs: leading dimension [T], with segments and times.

    Returns:
      f32[T, d].
    """
    categorical = jnp.asarray(inputs.categorical)
    known = jnp.stack(
      [categorical[:, field] == row for field, row in self.spec.previous],
      axis=1,
    )
    pulls = known.astype(item.dtype) @ jax.nn.sigmoid(self.pull[...])
    back = jax.nn.sigmoid(self.back[...])

    def step(before, row, goes_on):
      state, shown = before
      here, item, pull = row
      moved = state + pull * (shown - state) + back * (here - state)
      state = jnp.where(goes_on, moved, here)
      return (state, item), state

    start = jnp.zeros((self.dim,), item.dtype)
    rows = (user, item, pulls)
    return session.fold(step, (start, start), rows, *session.places(inputs))


def wrap(
  network: functional.Network,
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
) -> functional.Network:
  """The actor with the affinity added to its towers' outputs.

  Returns:
    The same with a group of parameters `affinity`.
  """
  return functional.with_terms(
    network,
    spec,
    'affinity',
    lambda rngs: Affinity(spec, config, rngs),
    draws_from=_DRAWS,
  )


def divergence_gradient(name: str, leaf: jax.Array) -> jax.Array:
  """Gradient of KL(posterior || prior), summed over a table's numbers.

  With mean m and standard deviation s, both in those of the prior, a number's
  divergence is (m^2 + s^2 - 1) / 2 - log s; m = STEP table and
  log s = STEP spread.

  Args:
    name: `table` or `spread`.
    leaf: of an Affinity.

  Returns:
    With respect to the leaf, in its shape.
  """
  if name == 'table':
    return STEP**2 * leaf
  return STEP * jnp.expm1(2 * STEP * leaf)


def _drawn(mean: jax.Array, variance: jax.Array, key: jax.Array) -> jax.Array:
  noise = jax.random.normal(key, mean.shape, mean.dtype)
  return mean + jnp.sqrt(variance + _TINY) * noise


def _logit(share: float) -> float:
  return float(np.log(share / (1 - share)))

"""The multi-task backbones: features of a row -> one logit per task.

All read the features through one `FirstLayer` named `first`, and are called
with one lane. `single_task` is not here: it is K one-task `SharedBottom`s
(see `functional`).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.networks import affinity, experts, features, layers

Key = jax.Array | None


class SharedBottom(nnx.Module):
  """One bottom, K towers (Caruana, 1997)."""

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    numbers = layers.Numbers()
    units = config.bottom_units
    self.form = config.expert_form
    self.first = features.FirstLayer(spec, config, units[0], 0, rngs)
    self.bottom = layers.Hidden(1, units, config, numbers, rngs)
    self.towers = layers.Towers(
      spec.num_tasks, units[-1], config, numbers, rngs
    )
    self.affinity = affinity.make(spec, config, rngs)

  def __call__(
    self, shared: features.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> logits f32[T, K]."""
    x, _ = self.first.members(shared, inputs)
    x = self.bottom(x, dropout_key)
    logits = self.towers(x[0], dropout_key)
    return affinity.added(self.affinity, logits, inputs, dropout_key)


class MixtureOfExperts(nnx.Module):
  """Experts, softmax gates on the features, K towers.

  With one gate for all tasks: OMoE (Jacobs et al., 1991); with one per task:
  MMoE (Ma et al., KDD 2018, Eq. 5-7).
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
    *,
    gate_per_task: bool,
  ):
    numbers = layers.Numbers()
    units, count = config.bottom_units, config.num_experts
    self.form = config.expert_form
    self.num_tasks = spec.num_tasks
    self.gates = (count,) * (spec.num_tasks if gate_per_task else 1)
    self.first = features.FirstLayer(
      spec, config, count * units[0], sum(self.gates), rngs, count
    )
    self.experts = layers.Hidden(count, units, config, numbers, rngs)
    self.towers = layers.Towers(
      spec.num_tasks, units[-1], config, numbers, rngs
    )
    self.affinity = affinity.make(spec, config, rngs)

  def __call__(
    self, shared: features.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> logits f32[T, K]."""
    members, for_gates = self.first.members(shared, inputs)
    members = self.experts(members, dropout_key)
    gates = experts.split_gates(for_gates, self.gates)
    mixed = [layers.mix(gate, members) for gate in gates]
    one_gate = len(mixed) < self.num_tasks
    x = mixed[0] if one_gate else layers.stack(mixed, self.form)
    logits = self.towers(x, dropout_key)
    return affinity.added(self.affinity, logits, inputs, dropout_key)


class Ple(nnx.Module):
  """Progressive layered extraction (Tang et al., RecSys 2020).

  One level per layer of `bottom_units`. At the first level every path's input
  is the features, so all experts and gates are columns of the first layer.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    numbers = layers.Numbers()
    units = config.bottom_units
    split = experts.shares(spec.num_tasks, config.num_experts)
    self.form = config.expert_form
    self.split = split
    self.levels = len(units)
    self.gates = tuple(split.gates(is_last=self.levels == 1))
    self.first = features.FirstLayer(
      spec,
      config,
      split.total * units[0],
      sum(self.gates),
      rngs,
      split.total,
    )
    self.activation = layers.Activation(split.total, config.dropout, numbers)
    for i in range(1, self.levels):
      level = experts.ExtractionLevel(
        split,
        units[i - 1],
        units[i],
        i == self.levels - 1,
        config,
        numbers,
        rngs,
      )
      setattr(self, f'level_{i}', level)
    self.towers = layers.Towers(
      spec.num_tasks, units[-1], config, numbers, rngs
    )
    self.affinity = affinity.make(spec, config, rngs)

  def __call__(
    self, shared: features.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> logits f32[T, K]."""
    members, for_gates = self.first.members(shared, inputs)
    members = self.activation(members, dropout_key)
    own = self.split.own
    every = range(self.split.num_tasks)
    for_all = members[self.split.num_tasks * own :]
    tasks, path = experts.extract(
      experts.split_gates(for_gates, self.gates),
      [members[k * own : (k + 1) * own] for k in every],
      [for_all for _ in every],
      for_all,
    )
    for i in range(1, self.levels):
      assert path is not None
      tasks, path = getattr(self, f'level_{i}')(tasks, path, dropout_key)
    logits = self.towers(layers.stack(tasks, self.form), dropout_key)
    return affinity.added(self.affinity, logits, inputs, dropout_key)


class Transfer(nnx.Module):
  """AITM's transfer from one task to the next (Xi et al., KDD 2021, Eq. 3-6).

  The next task's representation attends over its own and what the previous
  task sends, which passes one hidden layer or, with `aitm_transfer=linear`, a
  linear one.

  Args:
    units: width of both.
    config: `aitm_transfer`, dropout.
    numbers: where the masks' numbers come from.
    rngs: where the kernels come from.
    first: the transfer that shares its attention with this one, or None.
  """

  def __init__(
    self,
    units: int,
    config: config_lib.NetworkConfig,
    numbers: layers.Numbers,
    rngs: nnx.Rngs,
    first: Transfer | None = None,
  ):
    self.is_linear = config.aitm_transfer == 'linear'
    self.info = layers.Linear(units, units, layers.HE, rngs)
    self.activation = layers.Activation(1, config.dropout, numbers)
    if first is not None:
      self.value, self.key, self.query = first.value, first.key, first.query
      return
    self.value = layers.Linear(units, units, layers.LECUN, rngs)
    self.key = layers.Linear(units, units, layers.LECUN, rngs)
    self.query = layers.Linear(units, units, layers.LECUN, rngs)

  def __call__(
    self, previous: jax.Array, own: jax.Array, dropout_key: Key
  ) -> jax.Array:
    """Two f32[T, units] -> f32[T, units]."""
    sent = self.info(previous)
    if not self.is_linear:
      sent = self.activation([sent], dropout_key)[0]
    sources = [own, sent]
    scale = own.shape[1] ** -0.5
    scores = [
      jnp.sum(self.key(x) * self.query(x), axis=1) * scale for x in sources
    ]
    weights = jax.nn.softmax(jnp.stack(scores, axis=1), axis=1)
    return layers.mix(weights, [self.value(x) for x in sources])


class Aitm(nnx.Module):
  """K bottoms with transfer along the task order (Xi et al., KDD 2021)."""

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    numbers = layers.Numbers()
    units, tasks = config.bottom_units, spec.num_tasks
    self.form = config.expert_form
    self.num_tasks = tasks
    self.first = features.FirstLayer(
      spec, config, tasks * units[0], 0, rngs, tasks
    )
    self.bottoms = layers.Hidden(tasks, units, config, numbers, rngs)
    first = None
    for k in range(1, tasks):
      transfer = Transfer(units[-1], config, numbers, rngs, first)
      if config.aitm_transfer == 'linear':
        first = first or transfer
      setattr(self, f'transfer_{k}', transfer)
    self.towers = layers.Towers(tasks, units[-1], config, numbers, rngs)
    self.affinity = affinity.make(spec, config, rngs)

  def __call__(
    self, shared: features.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> logits f32[T, K]."""
    bottoms, _ = self.first.members(shared, inputs)
    bottoms = self.bottoms(bottoms, dropout_key)
    outputs = [bottoms[0]]
    for k in range(1, self.num_tasks):
      transfer = getattr(self, f'transfer_{k}')
      outputs.append(transfer(outputs[-1], bottoms[k], dropout_key))
    logits = self.towers(layers.stack(outputs, self.form), dropout_key)
    return affinity.added(self.affinity, logits, inputs, dropout_key)


class Esmm(nnx.Module):
  """K towers on shared embeddings, chained (Ma et al., SIGIR 2018, Eq. 2-3).

  Tower k gives the probability of task k given task k - 1; the product along
  the chain is the task's own probability. A tower is `bottom_units`, then
  `tower_units`.
  """

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    numbers = layers.Numbers()
    units = (*config.bottom_units, *config.tower_units)
    tasks = spec.num_tasks
    self.form = config.expert_form
    self.num_tasks = tasks
    self.first = features.FirstLayer(
      spec, config, tasks * units[0], 0, rngs, tasks
    )
    self.hidden = layers.Hidden(tasks, units, config, numbers, rngs)
    self.heads = layers.Heads(tasks, units[-1], config, rngs)
    self.affinity = affinity.make(spec, config, rngs)

  def __call__(
    self, shared: features.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> logits f32[T, K] of the chained probabilities."""
    x, _ = self.first.members(shared, inputs)
    conditional = self.heads(self.hidden(x, dropout_key))
    conditional = affinity.added(
      self.affinity, conditional, inputs, dropout_key
    )
    return chain_logits(conditional)


def chain_logits(conditional: jax.Array) -> jax.Array:
  """Logits of p_k = prod_{j <= k} sigmoid(z_j), without loss of digits.

  With p_k = p_{k-1} sigmoid(z_k), log p_k is a sum, and
  1 - p_k = (1 - p_{k-1}) + p_{k-1} sigmoid(-z_k) keeps log(1 - p_k) exact
  where p_k is near 1.

  Args:
    conditional: z, logits of each task given the one before, f32[T, K].

  Returns:
    log p_k - log(1 - p_k), f32[T, K].
  """
  logits = [conditional[:, 0]]
  log_p = jax.nn.log_sigmoid(conditional[:, 0])
  log_not_p = jax.nn.log_sigmoid(-conditional[:, 0])
  for k in range(1, conditional.shape[1]):
    z = conditional[:, k]
    log_not_p = jnp.logaddexp(log_not_p, log_p + jax.nn.log_sigmoid(-z))
    log_p = log_p + jax.nn.log_sigmoid(z)
    logits.append(log_p - log_not_p)
  return jnp.stack(logits, axis=1)

"""The multi-task backbones: features of a row -> outputs of the tasks' towers.

A binary task's tower gives its logit, others the outputs of their loss.

A backbone reads the features through one first layer and is called with one
lane. `single_task` is not here: it is K one-task `SharedBottom`s (see
`factory`).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.networks import experts, first_layer, layers

Key = jax.Array | None
Gates = list[jax.Array]


class Backbone(nnx.Module):
  """A first layer and the layers on top; a subclass is one paper's figure.

  A subclass defines its layers (`build`) and how they make logits of the
  features (`logits`). Everything that reads the features is a range of columns
  of the first layer (`read`), so that all experts and gates take one product.

  Attributes:
    link: towers' outputs -> logits of the tasks, both f32[T, sum of units];
      None where they are the same.
  """

  first: first_layer.FirstLayer
  towers: layers.Towers
  link: Callable[[jax.Array], jax.Array] | None = None

  def __init__(
    self,
    spec: types.FeatureSpec,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
  ):
    self.spec, self.config, self.num_tasks = spec, config, spec.num_tasks
    self.build(layers.Setup(config, rngs, spec.units))

  def build(self, setup: layers.Setup) -> None:
    """Makes the first layer, by `read`, and those on it."""
    raise NotImplementedError

  def read(
    self,
    setup: layers.Setup,
    groups: int = 1,
    gates: tuple[int, ...] = (),
  ) -> first_layer.FirstLayer:
    """The first layer.

    Args:
      groups: experts, bottoms or towers, of bottom_units[0] columns each.
      gates: experts that each gate on the features sees.
    """
    self.gates = gates
    units = self.config.bottom_units[0]
    return first_layer.FirstLayer(
      self.spec, self.config, setup.rngs, units, groups, sum(gates)
    )

  def __call__(
    self, shared: first_layer.Shared, inputs: types.Inputs, dropout_key: Key
  ) -> jax.Array:
    """One lane -> outputs of the towers, f32[T, sum of units]."""
    x, gates = self.first(shared, inputs)
    return self.logits(x, experts.split_gates(gates, self.gates), dropout_key)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Outputs of the towers, f32[T, sum of units].

    Args:
      x: each group's pre-activations, f32[T, bottom_units[0]].
      gates: each gate's softmax, f32[T, width].
      key: dropout's, or None.
    """
    raise NotImplementedError

  def towers_on(self, xs: list[jax.Array], key: Key) -> jax.Array:
    """Tower k on its own representation, f32[T, units] each."""
    return self.towers(layers.stack(xs), key)


class SharedBottom(Backbone):
  """One bottom, K towers (Caruana, 1997)."""

  def build(self, setup: layers.Setup) -> None:
    """One bottom for all tasks."""
    self.first = self.read(setup)
    self.bottom = layers.Hidden(1, self.config.bottom_units, setup)
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Every tower reads the bottom."""
    return self.towers(self.bottom(x, key)[0], key)


class Mmoe(Backbone):
  """Multi-gate mixture of experts (Ma et al., KDD 2018, Eq. 5-7).

  Tower k reads sum_e g_k(x)_e f_e(x), with one softmax gate g_k per task on
  the features.
  """

  one_gate = False

  def build(self, setup: layers.Setup) -> None:
    """Experts and, on the features, a gate per task."""
    count = self.config.num_experts
    num_gates = 1 if self.one_gate else self.num_tasks
    self.first = self.read(setup, count, (count,) * num_gates)
    self.experts = layers.Hidden(count, self.config.bottom_units, setup)
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Every gate mixes the same experts, so these run once for all tasks."""
    x = self.experts(x, key)
    return self.towers_on([layers.mix(gate, x) for gate in gates], key)


class Omoe(Mmoe):
  """The same with one gate for all tasks (Jacobs et al., 1991)."""

  one_gate = True

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Every tower reads the one mixture."""
    return self.towers(layers.mix(gates[0], self.experts(x, key)), key)


class Ple(Backbone):
  """Progressive layered extraction (Tang et al., RecSys 2020).

  One level per layer of `bottom_units`; the last has no shared path, since
  nothing would read it.
  """

  @property
  def counts(self) -> experts.ExpertCounts:
    """Experts of each task, and of all tasks."""
    return experts.ExpertCounts.split(self.num_tasks, self.config.num_experts)

  def build(self, setup: layers.Setup) -> None:
    """Level 0 reads the features only: it is columns of the first layer."""
    units = self.config.bottom_units
    gates = self.counts.gates(is_last=len(units) == 1)
    self.first = self.read(setup, self.counts.total, tuple(gates))
    self.activation = layers.Activation(self.counts.total, setup)
    for i in range(1, len(units)):
      is_last = i == len(units) - 1
      level = experts.ExtractionLevel(
        self.counts, units[i - 1], units[i], is_last, setup
      )
      setattr(self, f'level_{i}', level)
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Level by level: each task's path, and the path that all tasks share."""
    # Columns: the experts of task 1, of task 2, ..., then the common ones.
    x = self.activation(x, key)
    per_task = self.counts.per_task
    own = [x[k * per_task : (k + 1) * per_task] for k in range(self.num_tasks)]
    common = x[self.num_tasks * per_task :]
    tasks, path = experts.extract(gates, own, [common] * self.num_tasks, common)
    for i in range(1, len(self.config.bottom_units)):
      assert path is not None
      tasks, path = getattr(self, f'level_{i}')(tasks, path, key)
    return self.towers_on(tasks, key)


class Aitm(Backbone):
  """K bottoms with transfer along the funnel (Xi et al., KDD 2021)."""

  def build(self, setup: layers.Setup) -> None:
    """A bottom per task, and a transfer into every task with a parent."""
    units = self.config.bottom_units
    self.first = self.read(setup, self.num_tasks)
    self.bottoms = layers.Hidden(self.num_tasks, units, setup)
    first = None
    for k, parent in enumerate(parents(self.spec)):
      if parent is None:
        continue
      transfer = Transfer(units[-1], setup, first)
      # The authors' code has one attention for all of its linear transfers.
      if self.config.official:
        first = first or transfer
      setattr(self, f'transfer_{k}', transfer)
    self.towers = layers.Towers(self.num_tasks, setup)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Each task attends over its own and its parent's representation."""
    bottoms = self.bottoms(x, key)
    outputs: list[jax.Array] = []
    for k, parent in enumerate(parents(self.spec)):
      if parent is None:
        outputs.append(bottoms[k])
        continue
      transfer = getattr(self, f'transfer_{k}')
      outputs.append(transfer(outputs[parent], bottoms[k], key))
    return self.towers_on(outputs, key)


def parents(spec: types.FeatureSpec) -> tuple[int | None, ...]:
  """The funnel of the binary tasks: each one's parent, or None.

  That of the data, or where they name none the order of the tasks; tasks of
  other kinds are outside of it.
  """
  binary = [
    k
    for k in range(spec.num_tasks)
    if not spec.losses or spec.losses[k].kind == kinds.BINARY
  ]
  found: list[int | None] = [None] * spec.num_tasks
  for before, k in itertools.pairwise(binary):
    found[k] = before
  if spec.parents:
    for k in binary:
      found[k] = spec.parents[k]
  return tuple(found)


class Transfer(nnx.Module):
  """AITM's transfer from one task to the next (Xi et al., KDD 2021, Eq. 3-6).

  The next task's representation attends over its own and the previous task's
  message, which passes one hidden layer or, in the authors' code, a
  linear one.

  Args:
    units: width of both.
    setup: `official`, dropout.
    first: the transfer that shares its attention with this one, or None.
  """

  def __init__(
    self, units: int, setup: layers.Setup, first: Transfer | None = None
  ):
    self.is_linear = setup.config.official
    self.info = layers.Linear(units, units, layers.HE, setup.rngs)
    self.activation = layers.Activation(1, setup)
    if first is not None:
      self.value, self.key, self.query = first.value, first.key, first.query
      return
    self.value, self.key, self.query = (
      layers.Linear(units, units, layers.LECUN, setup.rngs) for _ in range(3)
    )

  def __call__(
    self, previous: jax.Array, own: jax.Array, dropout_key: Key
  ) -> jax.Array:
    """Two f32[T, units] -> f32[T, units]."""
    message = self.info(previous)
    if not self.is_linear:
      message = self.activation([message], dropout_key)[0]
    sources = [own, message]
    # Unscaled products grow with the width and would saturate the softmax.
    scale = own.shape[1] ** -0.5
    scores = [
      jnp.sum(self.key(x) * self.query(x), axis=1) * scale for x in sources
    ]
    weights = jax.nn.softmax(jnp.stack(scores, axis=1), axis=1)
    return layers.mix(weights, [self.value(x) for x in sources])


def chain_logits(
  conditional: jax.Array, parents: Sequence[int | None] | None = None
) -> jax.Array:
  """Logits of p_k = p_parent sigmoid(z_k), without loss of digits.

  log p_k is a sum along the way from the root, and
  1 - p_k = (1 - p_parent) + p_parent sigmoid(-z_k) keeps log(1 - p_k) exact
  where p_k is near 1.

  Args:
    conditional: z, logits of each task given its parent, f32[T, K].
    parents: each task's, listed before it, or None; if None itself, a chain.

  Returns:
    log p_k - log(1 - p_k), f32[T, K].
  """
  count = conditional.shape[1]
  parents = [None, *range(count - 1)] if parents is None else parents
  logits, ways = [], []
  for k, parent in enumerate(parents):
    # Both logarithms go along: 1 - exp(log p) would lose all digits near p = 1.
    if parent is None:
      logits.append(conditional[:, k])
      log_p = jax.nn.log_sigmoid(conditional[:, k])
      log_not_p = jax.nn.log_sigmoid(-conditional[:, k])
    else:
      z, (before, not_before) = conditional[:, k], ways[parent]
      log_not_p = jnp.logaddexp(not_before, before + jax.nn.log_sigmoid(-z))
      log_p = before + jax.nn.log_sigmoid(z)
      logits.append(log_p - log_not_p)
    ways.append((log_p, log_not_p))
  return jnp.stack(logits, axis=1)


class Esmm(Backbone):
  """K towers on shared embeddings, chained (Ma et al., SIGIR 2018, Eq. 2-3).

  Tower k gives the probability of task k given its parent, the task before it
  in a chain; the product along the funnel is the task's own probability. Tasks
  that are not binary are outside of it. A tower is `bottom_units`, then
  `tower_units`.
  """

  def build(self, setup: layers.Setup) -> None:
    """Towers from the embeddings on."""
    units = (*self.config.bottom_units, *self.config.tower_units)
    self.first = self.read(setup, self.num_tasks)
    self.hidden = layers.Hidden(self.num_tasks, units, setup)
    self.heads = layers.Heads(self.num_tasks, units[-1], setup)

  def logits(self, x: layers.Stack, gates: Gates, key: Key) -> jax.Array:
    """Logits of each task given the one before."""
    return self.heads(self.hidden(x, key))

  def link(self, outputs: jax.Array) -> jax.Array:  # pyright: ignore[reportIncompatibleVariableOverride]
    """The funnel: no task is likelier than its parent."""
    funnel = parents(self.spec)
    if not self.spec.losses:
      return chain_logits(outputs, funnel)
    columns = list(jax.lax.split(outputs, self.spec.units, axis=1))
    binary = [
      k for k, one in enumerate(self.spec.losses) if one.kind == kinds.BINARY
    ]
    if not binary:
      return outputs
    place: dict[int | None, int] = {k: i for i, k in enumerate(binary)}
    logits = chain_logits(
      jnp.concatenate([columns[k] for k in binary], axis=1),
      [None if (up := funnel[k]) is None else place[up] for k in binary],
    )
    for i, k in enumerate(binary):
      columns[k] = logits[:, i : i + 1]
    return jnp.concatenate(columns, axis=1)

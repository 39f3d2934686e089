"""Networks as plain functions over plain parameter trees.

Flax NNX defines the modules; here each becomes `init(key)` and functions of
(parameters, inputs), to which jit, grad and vmap apply as to any other. A
module is put together only while a function is traced. Some functions make a
network of others: side by side, of fewer fields. Networks of settings are in
factory.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from rmtl_jax import types
from rmtl_jax.networks import ignore, layers, pretrained

Params = dict[str, Any]
Shared = Any
# The group of parameters with the columns that `hiding` shows.
SHOWN = 'shown'


class Rows(NamedTuple):
  """Rows of a split, all at once.

  Attributes:
    inputs: leading dimension [R].
    labels: f32[R, K].
    weight: f32[R, K], how much a label counts; None: all count 1.
  """

  inputs: types.Inputs
  labels: np.ndarray
  weight: np.ndarray | None = None


class Fit(Protocol):
  """Fits all parameters to rows."""

  def __call__(
    self,
    train: Rows,
    validation: Rows,
    seed: int,
    progress: Callable[[float], object],
    again: Rows | None = None,
  ) -> Params:
    """The parameters, in host memory.

    Args:
      train: rows that are learnt from.
      validation: rows that choose.
      seed: random seed.
      progress: called now and then, with the fraction done.
      again: rows to learn from once the others have chosen; the result is of
        these.
    """
    ...


class Network(NamedTuple):
  """A network as functions.

  Attributes:
    init: key -> parameters, a nested dict of f32 arrays.
    share: (params, inputs with leading dimensions [L, T]) -> what the lanes
      share, computed once, outside the vmap over lanes.
    lane: one lane. Actor: (params, shared, inputs [T], *, dropout_key=None)
      -> outputs of the tasks f32[T, O], of binary ones logits. Critic:
      (params, shared, inputs [T], actions f32[T, K], *, dropout_key=None)
      -> Q f32[T, K].
    shared_axes: `in_axes` of `shared` in a vmap over lanes: None where lanes
      share a leaf, 0 where each lane has its own part.
    perturb: (inputs [L, T], dropout key or None) -> the inputs that training
      sees: some categories replaced (networks/id_dropout.py).
    tasks: kinds of the outputs; () if all tasks are binary.
    fit: of a network that no gradient trains; see `Fit`.
  """

  init: Callable[[jax.Array], Params]
  share: Callable[[Params, types.Inputs], Shared]
  lane: Callable[..., jax.Array]
  shared_axes: Any
  perturb: Callable[[types.Inputs, jax.Array | None], types.Inputs]
  tasks: tuple[types.TaskLoss, ...] = ()
  fit: Fit | None = None


def apply(
  network: Network,
  params: Params,
  inputs: types.Inputs,
  *args: jax.Array,
  dropout_key: jax.Array | None = None,
) -> jax.Array:
  """The network over a batch of lanes.

  Args:
    network: of `factory.make_actor` or `factory.make_critic`.
    params: its parameters.
    inputs: leading dimensions [L, T].
    *args: a critic's actions, f32[L, T, K].
    dropout_key: None means no dropout; lane l uses fold_in(key, l). Inputs
      are taken as they are (`perturb` them first where training wants it).

  Returns:
    f32[L, T, O] of an actor, f32[L, T, K] of critics.
  """
  shared = network.share(params, inputs)
  keys = lane_keys(dropout_key, inputs.categorical.shape[0])

  def lane(shared, key, inputs, *args):
    return network.lane(params, shared, inputs, *args, dropout_key=key)

  axes = (network.shared_axes, None if keys is None else 0)
  return jax.vmap(lane, in_axes=axes + (0,) * (1 + len(args)))(
    shared, keys, inputs, *args
  )


def lane_keys(key: jax.Array | None, lanes: int) -> jax.Array | None:
  """One key per lane, or None where dropout is off."""
  if key is None:
    return None
  return jax.vmap(jax.random.fold_in, (None, 0))(key, jnp.arange(lanes))


def from_module(
  build: Callable[[nnx.Rngs], Any],
) -> tuple[Callable[[jax.Array], Params], Callable[[Params], Any], Any]:
  """A module as functions of plain trees.

  Args:
    build: rngs -> the module.

  Returns:
    init(key) -> parameters; bind(parameters) -> the module with them, for use
    while a function is traced; and the module with shapes for parameters.
  """

  def make(key: jax.Array) -> Any:
    return build(nnx.Rngs(params=key))

  # Shapes only: no parameter is drawn before `init`.
  abstract = nnx.eval_shape(lambda: make(jax.random.key(0)))
  graph, empty = nnx.split(abstract)

  def init(key: jax.Array) -> Params:
    return nnx.to_pure_dict(nnx.state(make(key)))

  def bind(params: Params) -> Any:
    state = jax.tree.map(lambda leaf: leaf, empty)
    nnx.replace_by_pure_dict(state, params)
    return nnx.merge(graph, state)

  return init, bind, abstract


def side_by_side(
  network: Network,
  count: int,
  args_of: Callable[..., Sequence[jax.Array]] = lambda args, i: args,
) -> Network:
  """`count` networks with separate parameters, on a leading axis.

  They are unrolled, not vmapped: on CPU a batched GEMM is slower than `count`
  of them.

  Args:
    network: one of them.
    count: how many.
    args_of: (a lane's further arguments, number) -> those of one network.

  Returns:
    A network; its `lane` gives the outputs of all, side by side.
  """

  def init(key: jax.Array) -> Params:
    return jax.vmap(network.init)(jax.random.split(key, count))

  def share(params: Params, inputs: types.Inputs) -> Shared:
    return [network.share(one, inputs) for one in layers.unstack_tree(params)]

  def lane(params, shared, inputs, *args, dropout_key=None):
    outputs = []
    for i, one in enumerate(layers.unstack_tree(params)):
      # A separate key: else all would drop the same units.
      key = dropout_key
      if key is not None:
        key = jax.random.fold_in(key, i)
      outputs.append(
        network.lane(one, shared[i], inputs, *args_of(args, i), dropout_key=key)
      )
    return jnp.concatenate(outputs, axis=1)

  axes = [network.shared_axes] * count
  return network._replace(init=init, share=share, lane=lane, shared_axes=axes)


def one_per_task(network: Network, count: int) -> Network:
  """`count` one-task networks; a critic's sees its own task's action."""
  return side_by_side(
    network, count, lambda args, k: [arg[:, k : k + 1] for arg in args]
  )


def equal_at_start(network: Network) -> Network:
  """Parallel networks with equal initial parameters."""

  def init(key: jax.Array) -> Params:
    params = network.init(key)
    return jax.tree.map(lambda x: jnp.broadcast_to(x[:1], x.shape), params)

  return network._replace(init=jax.jit(init))


def hiding(network: Network, spec: types.FeatureSpec) -> Network:
  """The network of inputs whose hidden columns are missing in every row.

  Which fields are hidden is a parameter, `shown`, f32[C], 0 for hidden columns,
  which no step changes, so all settings share a program. `init` shows all.
  """
  count = len(spec.categorical)
  columns = sum(width for width, _ in spec.input_widths)

  def init(key: jax.Array) -> Params:
    return with_shown(network.init(key), jnp.ones(columns))

  def apart(params: Params) -> tuple[Params, jax.Array]:
    rest = {name: part for name, part in params.items() if name != SHOWN}
    return rest, params[SHOWN][pretrained.FROZEN]

  def see(shown: jax.Array, inputs: types.Inputs) -> types.Inputs:
    parts = jnp.split(shown > 0.0, [count, columns - spec.numeric])

    def seen(x, is_shown, blank):
      return jnp.where(jnp.broadcast_to(is_shown, x.shape), x, blank)

    return inputs._replace(
      categorical=seen(inputs.categorical, parts[0], 0),
      multi_valued=seen(inputs.multi_valued, parts[1], -1),
      numeric=seen(inputs.numeric, parts[2], 0.0),
    )

  def share(params: Params, inputs: types.Inputs) -> Shared:
    rest, shown = apart(params)
    return network.share(rest, see(shown, inputs))

  def lane(params, shared, inputs, *args, dropout_key=None):
    rest, shown = apart(params)
    inputs = see(shown, inputs)
    return network.lane(rest, shared, inputs, *args, dropout_key=dropout_key)

  return network._replace(init=init, share=share, lane=lane)


def with_shown(params: Params, shown: types.Array) -> Params:
  """The parameters of a `hiding` network with what it shows, f32[C]."""
  return {**params, SHOWN: {pretrained.FROZEN: shown}}


def narrowed(network: Network, seen: ignore.View) -> Network:
  """The network of the seen fields as one of all fields' inputs."""

  def share(params: Params, inputs: types.Inputs) -> Shared:
    return network.share(params, seen.narrow(inputs))

  def lane(params, shared, inputs, *args, dropout_key=None):
    return network.lane(
      params, shared, seen.narrow(inputs), *args, dropout_key=dropout_key
    )

  def perturb(inputs: types.Inputs, key: jax.Array | None) -> types.Inputs:
    narrow = seen.narrow(inputs)
    perturbed = network.perturb(narrow, key)
    return inputs if perturbed is narrow else seen.widen(perturbed, inputs)

  made = network._replace(share=share, lane=lane, perturb=perturb)
  if network.fit is None:
    return made
  of_seen = network.fit

  def narrow(rows: Rows) -> Rows:
    return rows._replace(inputs=seen.narrow(rows.inputs, np))

  def fit(train, validation, seed, progress, again=None):
    seen_again = again and narrow(again)
    return of_seen(
      narrow(train), narrow(validation), seed, progress, seen_again
    )

  return made._replace(fit=fit)

"""Layers that come in stacks: E experts, K towers, K bottoms at once.

The parameters of a stack are one array with a leading axis. Its activations
are a `Stack`: a list of E arrays [T, units] where each member runs its own
GEMM (fastest on CPU), or one array [E, T, units] where one batched contraction
runs them all. Both can be indexed by member.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax.networks import dropout
from rmtl_jax.ops import hashing

Stack = list[jax.Array] | jax.Array

# Variance of a kernel times its inputs: ahead of a ReLU (He et al., 2015), and
# elsewhere (LeCun et al., 1998).
HE = 2.0
LECUN = 1.0


def init_kernel(
  key: jax.Array, shape: tuple[int, ...], gain: float
) -> jax.Array:
  """Uniform values of variance gain / inputs, f32[..., inputs, units]."""
  limit = (3.0 * gain / shape[-2]) ** 0.5
  return jax.random.uniform(key, shape, minval=-limit, maxval=limit)


def runs_separately() -> bool:
  """Whether members of a stack run one GEMM each: on CPU; else batched."""
  return jax.default_backend() == 'cpu'


class Setup:
  """Config and random keys for the layers of a network.

  Attributes:
    config: sizes and dropout's rate.
    rngs: where the kernels come from.
    units: outputs of each task's tower; () if each has one.
  """

  def __init__(
    self,
    config: config_lib.NetworkConfig,
    rngs: nnx.Rngs,
    units: Sequence[int] = (),
  ):
    self.config = config
    self.rngs = rngs
    self.units = tuple(units) if max(units, default=1) > 1 else ()
    self._next_mask = 0

  def reserve_masks(self, count: int) -> int:
    """The first of `count` numbers that no other dropout mask has."""
    self._next_mask += count
    return self._next_mask - count


def unstack(x: jax.Array) -> list[jax.Array]:
  """The members of the leading axis; gradients return by concatenation."""
  parts = jax.lax.split(x, (1,) * x.shape[0], axis=0)
  return [jnp.squeeze(part, axis=0) for part in parts]


def unstack_tree(tree: Any) -> list[Any]:
  """A tree per member; all leaves have one leading axis."""
  leaves, treedef = jax.tree.flatten(tree)
  members = zip(*(unstack(leaf) for leaf in leaves), strict=True)
  return [treedef.unflatten(member) for member in members]


def stack(members: list[jax.Array]) -> Stack:
  """Arrays f32[T, units] as a stack."""
  return members if runs_separately() else jnp.stack(members)


def concatenate(first: Stack, second: Stack) -> Stack:
  """The members of both stacks, in order."""
  if isinstance(first, list) and isinstance(second, list):
    return first + second
  return jnp.concatenate([jnp.asarray(first), jnp.asarray(second)], axis=0)


def mix(gate: jax.Array, members: Stack) -> jax.Array:
  """sum_e gate_e member_e, the mixture that a gate makes of its experts.

  Args:
    gate: f32[T, E], rows that sum to 1.
    members: E of f32[T, units].

  Returns:
    f32[T, units].
  """
  if isinstance(members, list):
    # Split, so that the gradient is joined and not padded and added up.
    shares = jax.lax.split(gate, (1,) * len(members), axis=1)
    terms = [s * m for s, m in zip(shares, members, strict=True)]
    return sum(terms[1:], start=terms[0])
  return jnp.einsum('te,etu->tu', gate, members)


@jax.custom_vjp
def _tilt(kernel: jax.Array) -> jax.Array:
  return kernel.T


def _tilt_back(_, cotangent: jax.Array) -> tuple[jax.Array]:
  return (jax.lax.optimization_barrier(cotangent).T,)


_tilt.defvjp(lambda kernel: (kernel.T, None), _tilt_back)


def matmul(x: jax.Array, kernel: jax.Array) -> jax.Array:
  """x @ kernel, with a fast GEMM for the kernel's gradient on CPU.

  That gradient sums over rows. As cotangent^T x, transposed afterwards, it ran
  at 172 GFLOP/s on two cores where x^T cotangent, which XLA makes of it, ran
  at 103 (2,048 x 512 x 256); hence the barrier.

  Args:
    x: f32[T, inputs].
    kernel: f32[inputs, units].
  """
  if jax.default_backend() != 'cpu':
    return x @ kernel
  return jax.lax.dot_general(x, _tilt(kernel), (((1,), (1,)), ((), ())))


class Linear(nnx.Module):
  """x W + b.

  Args:
    inputs: width of x.
    units: width of the output.
    gain: of the kernel, HE or LECUN.
    rngs: where the kernel comes from.
  """

  def __init__(self, inputs: int, units: int, gain: float, rngs: nnx.Rngs):
    kernel = init_kernel(rngs.params(), (inputs, units), gain)
    self.kernel = nnx.Param(kernel)
    self.bias = nnx.Param(jnp.zeros((units,)))

  def __call__(self, x: jax.Array) -> jax.Array:
    """f32[T, inputs] -> f32[T, units]."""
    return matmul(x, self.kernel[...]) + self.bias[...][None, :]


class StackedLinear(nnx.Module):
  """E linear layers: x_e W_e + b_e.

  Args:
    count: E.
    inputs: width of a member's input.
    units: width of a member's output.
    gain: of the kernels, HE or LECUN.
    setup: of the network.
  """

  def __init__(
    self, count: int, inputs: int, units: int, gain: float, setup: Setup
  ):
    kernel = init_kernel(setup.rngs.params(), (count, inputs, units), gain)
    self.kernel = nnx.Param(kernel)
    self.bias = nnx.Param(jnp.zeros((count, units)))

  def __call__(self, x: Stack) -> Stack:
    """A stack of f32[T, inputs], or one such array for all, -> f32[T, units].

    One array of rank 2 is the input of every member.
    """
    kernel, bias = self.kernel[...], self.bias[...]
    shared = not isinstance(x, list) and x.ndim == 2
    if runs_separately():
      pairs = zip(unstack(kernel), unstack(bias[:, None, :]), strict=True)
      return [
        matmul(x if shared else x[e], w) + b  # pyright: ignore[reportArgumentType]
        for e, (w, b) in enumerate(pairs)
      ]
    x = jnp.asarray(x)
    subscripts = 'ti,eio->eto' if shared else 'eti,eio->eto'
    return jnp.einsum(subscripts, x, kernel) + bias[:, None, :]


class Activation(nnx.Module):
  """ReLU and dropout after a hidden layer of E members, each with its mask."""

  def __init__(self, count: int, setup: Setup):
    self.count = count
    self.rate = setup.config.dropout
    self.number = setup.reserve_masks(count)

  def __call__(self, x: Stack, dropout_key: jax.Array | None) -> Stack:
    """Stack -> stack; no dropout where the key is None."""
    if dropout_key is None or self.rate == 0:
      if isinstance(x, list):
        return [jax.nn.relu(member) for member in x]
      return jax.nn.relu(x)
    # A number per member: equal masks would tie experts to each other.
    salts = hashing.salts(dropout_key, self.number, self.count)
    if isinstance(x, list):
      return [
        dropout.relu_dropout(member, salts[e], self.rate)
        for e, member in enumerate(x)
      ]
    return jax.vmap(lambda m, s: dropout.relu_dropout(m, s, self.rate))(
      x, salts
    )


class Hidden(nnx.Module):
  """E multi-layer perceptrons, from the first layer's pre-activations on.

  Args:
    count: E.
    units: layers; the first one's linear part is the caller's.
    setup: of the network.
  """

  def __init__(self, count: int, units: Sequence[int], setup: Setup):
    self.depth = len(units)
    for i in range(self.depth):
      if i > 0:
        linear = StackedLinear(count, units[i - 1], units[i], HE, setup)
        setattr(self, f'linear_{i}', linear)
      setattr(self, f'activation_{i}', Activation(count, setup))

  def __call__(self, x: Stack, dropout_key: jax.Array | None) -> Stack:
    """Pre-activations of the first layer -> the last layer's activations."""
    for i in range(self.depth):
      if i > 0:
        x = getattr(self, f'linear_{i}')(x)
      x = getattr(self, f'activation_{i}')(x, dropout_key)
    return x


class Heads(nnx.Module):
  """The last layer of K towers: one unit each, or `Setup.units`, side by side.

  A stack's members are equally wide: towers with fewer units than the widest
  have some that nothing reads.
  """

  def __init__(self, count: int, inputs: int, setup: Setup):
    self.units = setup.units if len(setup.units) == count else ()
    width = max(self.units, default=1)
    self.linear = StackedLinear(count, inputs, width, LECUN, setup)

  def __call__(self, x: Stack) -> jax.Array:
    """K of f32[T, inputs] -> f32[T, K], or f32[T, sum of units]."""
    z = self.linear(x)
    if self.units:
      read = [z[k][:, :units] for k, units in enumerate(self.units)]
      return jnp.concatenate(read, axis=1)
    if isinstance(z, list):
      return jnp.concatenate(z, axis=1)
    return jnp.swapaxes(jnp.squeeze(z, axis=2), 0, 1)


class Towers(nnx.Module):
  """K towers on bottoms or experts: `tower_units`, then one unit each."""

  def __init__(self, count: int, setup: Setup):
    inputs, units = setup.config.bottom_units[-1], setup.config.tower_units
    self.linear_0 = StackedLinear(count, inputs, units[0], HE, setup)
    self.hidden = Hidden(count, units, setup)
    self.heads = Heads(count, units[-1], setup)

  def __call__(self, x: Stack, dropout_key: jax.Array | None) -> jax.Array:
    """A stack of K, or one f32[T, inputs] for all towers, as `Heads`."""
    return self.heads(self.hidden(self.linear_0(x), dropout_key))

"""`jax.value_and_grad`, with a weight for every row's loss of every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax.updates import forward
from rmtl_jax.weighting import leafwise


def value_and_weighted_grad(
  loss_fn: Callable[..., Any],
  weighting: optax.GradientTransformation,
  has_aux: bool = False,
) -> Callable[..., tuple[Any, Any, Any]]:
  """The mean loss and the gradient of the weighted one, in one backward pass.

  Examples:
    >>> import jax.numpy as jnp
    >>> from rmtl_jax.weighting import critic
    >>> def losses_of_rows(w, x):  # [rows, tasks]
    ...   return (w * x) ** 2
    >>> weighting = critic.scale_by_critic(lambda_=0.5)
    >>> grad_fn = value_and_weighted_grad(losses_of_rows, weighting)
    >>> w, x = jnp.array(3.0), jnp.array([[1.0], [2.0]])
    >>> loss, gradient, state = grad_fn(
    ...   w, weighting.init(w), x, q_values=jnp.array([[-2.0], [0.0]]))
    >>> float(loss), float(gradient)  # weights 2 and 1
    (22.5, 18.0)

  Args:
    loss_fn: loss_fn(params, *args) -> the losses of rows, [..., K] with the
      tasks last, or a pytree of such; with `has_aux`, (losses, aux).
    weighting: a link such as `scale_by_critic`, or a chain of them.
    has_aux: whether `loss_fn` returns anything beside the losses.

  Returns:
    grad_fn(params, weighting_state, *args, mask=None, **extra) -> (value,
    gradient, new weighting state), for `jax.jit`, `jax.lax.scan` and
    `jax.vmap` alike. The value is the unweighted mean over rows and tasks;
    with `has_aux`, (value, aux). The gradient is that of the mean of weight
    times loss, weights being constants. `mask`, bool[...] of the rows, says
    which of them count; None: all. `extra` is what the weighting needs
    (`q_values`, `labels`, `key`, ...). A function among them is called with
    what `loss_fn` returned, for values that depend on it: `q_values=lambda
    losses, aux: ...`.

  Raises:
    ValueError: when it is called, where the losses are a scalar, or the mask
      or an extra argument does not belong to them.
  """
  chain = optax.with_extra_args_support(weighting)

  def grad_fn(params, weighting_state, *args, mask=None, **extra):
    losses, pullback, *aux = jax.vjp(
      lambda p: loss_fn(p, *args), params, has_aux=has_aux
    )
    leaves, structure = jax.tree.flatten(losses)
    if not all(leaf.ndim for leaf in leaves):
      raise ValueError(
        'loss_fn: expected the losses of rows, [..., K], found a scalar'
      )
    if mask is None:
      mask = jax.tree.map(lambda leaf: jnp.ones(leaf.shape[:-1], bool), losses)
    even = structure.unflatten(_mean_cotangents(leaves, structure, mask))
    told = {
      name: value(losses, *aux) if callable(value) else value
      for name, value in extra.items()
    }
    weighted, new_state = chain.update(
      even, weighting_state, params, mask=mask, **told
    )
    value = sum(
      jnp.sum(jnp.where(share > 0.0, leaf * share, 0.0))
      for leaf, share in zip(leaves, jax.tree.leaves(even), strict=True)
    )
    (gradient,) = pullback(
      jax.tree.map(lambda w, leaf: w.astype(leaf.dtype), weighted, losses)
    )
    return ((value, *aux) if has_aux else value), gradient, new_state

  return grad_fn


def _mean_cotangents(leaves, structure, mask) -> list[jax.Array]:
  """d(mean over rows and all leaves' tasks) / d(losses), leaf by leaf.

  Single precision at least: the weights are multiplied before they are
  rounded to the dtype of the losses.
  """
  masks = leafwise.split('mask', mask, leaves, structure)
  tasks = sum(leaf.shape[-1] for leaf in leaves)
  return [
    (leaf.shape[-1] / tasks)
    * forward.mean_cotangent(rows, leaf.shape[-1]).astype(
      jnp.promote_types(leaf.dtype, jnp.float32)
    )
    for leaf, rows in zip(leaves, masks, strict=True)
  ]

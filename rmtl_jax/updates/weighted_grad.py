"""`jax.value_and_grad`, with a weight for every row's loss of every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax

from rmtl_jax import types
from rmtl_jax.weighting import scale_by_q


def mean_cotangent(
  mask: types.Array, tasks: int, sample_weight: types.Array | None = None
) -> jax.Array:
  """d(mean over valid rows of the mean over tasks) / d(losses).

  The batch's sum divided by its own number of valid rows, over all devices,
  never a mean of per-session means. With sample weights a task's mean is its
  weighted sum over the sum of its own weights. Divided by all rows, a task that
  is observed in few of them, such as conversions among clicks, would have a
  share of the gradient as small as its share of the rows, and a row of weight 2
  would not be the same as the row twice. A task without weight in the batch has
  no gradient.

  Examples:
    >>> mask = jnp.array([True, True, False])
    >>> mean_cotangent(mask, tasks=2).tolist()
    [[0.25, 0.25], [0.25, 0.25], [0.0, 0.0]]
    >>> weight = jnp.array([[1.0, 0.0], [3.0, 2.0], [1.0, 1.0]])
    >>> mean_cotangent(mask, 2, weight).tolist()
    [[0.125, 0.0], [0.375, 0.5], [0.0, 0.0]]

  Args:
    mask: which rows count, bool[...].
    tasks: K.
    sample_weight: f32[..., K] >= 0; None: every row counts 1.

  Returns:
    f32[..., K], which a weighting multiplies and a pullback takes.
  """
  if sample_weight is not None:
    counted = jnp.where(jnp.asarray(mask)[..., None], sample_weight, 0.0)
    total = jnp.sum(counted, tuple(range(counted.ndim - 1)), keepdims=True)
    return counted / (jnp.where(total > 0.0, total, 1.0) * tasks)
  rows = jnp.maximum(jnp.sum(mask), 1)
  weights = jnp.where(mask, 1.0 / (rows * tasks), 0.0)
  return jnp.broadcast_to(weights[..., None], (*mask.shape, tasks))


def value_and_weighted_grad(
  loss_fn: Callable[..., Any],
  weighting: optax.GradientTransformation,
  has_aux: bool = False,
) -> Callable[..., tuple[Any, Any, Any]]:
  """The mean loss and the gradient of the weighted one, in one backward pass.

  Examples:
    >>> import jax.numpy as jnp
    >>> from rmtl_jax.weighting import scale_by_q
    >>> def losses_of_rows(w, x):  # [rows, tasks]
    ...   return (w * x) ** 2
    >>> weighting = scale_by_q.scale_by_critic(lambda_=0.5)
    >>> grad_fn = value_and_weighted_grad(losses_of_rows, weighting)
    >>> w, x = jnp.array(3.0), jnp.array([[1.0], [2.0]])
    >>> loss, gradient, state = grad_fn(
    ...   w, weighting.init(w), x, q_values=jnp.array([[-2.0], [0.0]]))
    >>> float(loss), float(gradient)  # weights 2 and 1
    (22.5, 18.0)

  Args:
    loss_fn: loss_fn(params, *args) -> the losses of rows, [..., K] with the
      tasks last; with `has_aux`, (losses, aux).
    weighting: a link such as `scale_by_critic`, or a chain of them.
    has_aux: whether `loss_fn` returns (losses, aux).

  Returns:
    grad_fn(params, weighting_state, *args, mask=None, **extra) -> (value,
    gradient, new weighting state), for `jax.jit`, `jax.lax.scan` and
    `jax.vmap` alike. The value is the unweighted mean over rows and tasks;
    with `has_aux`, (value, aux). The gradient is that of the mean of weight
    times loss, weights being constants. `mask`, bool[...] of the rows, selects
    rows; None: all. `sample_weight`, like the losses, says how
    much: a task's mean is then over the sum of its weights
    (`mean_cotangent`). `extra` are the arguments of the weighting (`q_values`,
    `labels`, `key`, ...). A function among them is called with what `loss_fn`
    returned, for values that depend on it: `q_values=lambda losses, aux: ...`.
    Links also find `losses`.

  Raises:
    ValueError: when it is called, where the losses are a scalar, or the mask
      or an extra argument does not belong to them.
  """

  chain = optax.with_extra_args_support(weighting)

  def grad_fn(
    params, weighting_state, *args, mask=None, sample_weight=None, **extra
  ):
    def losses_of(p):
      found = loss_fn(p, *args)
      return found if has_aux else (found, ())

    losses, pullback, aux = jax.vjp(losses_of, params, has_aux=True)
    if not losses.ndim:
      raise ValueError(
        'loss_fn: expected the losses of rows, [..., K], found a scalar'
      )
    mask = jnp.ones(losses.shape[:-1], bool) if mask is None else mask
    scale_by_q.check_mask(losses, mask)
    if sample_weight is not None:
      scale_by_q.check_like('sample_weight', sample_weight, losses)
      extra['sample_weight'] = sample_weight
    # Single precision at least: the weights are multiplied before they are
    # rounded to the dtype of the losses.
    even = mean_cotangent(mask, losses.shape[-1], sample_weight).astype(
      jnp.promote_types(losses.dtype, jnp.float32)
    )
    returned = (losses, aux) if has_aux else (losses,)
    given = {
      name: value(*returned) if callable(value) else value
      for name, value in extra.items()
    }
    weighted, new_state = weigh(
      chain, even, weighting_state, params, losses=losses, mask=mask, **given
    )
    (gradient,) = pullback(weighted.astype(losses.dtype))
    # Padding may have infinite losses: it must not enter the sum.
    value = jnp.sum(jnp.where(even > 0.0, even * losses, 0.0))
    return ((value, aux) if has_aux else value), gradient, new_state

  return grad_fn


def weigh(
  chain: optax.GradientTransformationExtraArgs,
  even: jax.Array,
  weighting_state: Any,
  params: Any,
  **extra: Any,
) -> tuple[Any, Any]:
  """The weighted cotangent of row losses f[..., K], and the chain's state."""
  return chain.update(even, weighting_state, params, **extra)

"""`jax.value_and_grad`, with a weight for every row's loss of every task."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from rmtl_jax.updates import forward
from rmtl_jax.weighting import leafwise


class RowLosses(NamedTuple):
  """The losses of a batch's rows, and what turns weights into a gradient.

  Attributes:
    losses: [..., K], or a pytree of such.
    aux: auxiliary output of the loss function.
    mean_cotangent: the cotangent of their plain mean, like `losses`; weights
      multiply it.
    pullback: from a cotangent like `losses` to the gradient in the parameters.
  """

  losses: Any
  aux: Any
  mean_cotangent: Any
  pullback: Callable[[Any], Any]

  def task_gradients(self, cotangent: Any) -> Any:
    """The gradient that each task has in the pullback of a cotangent.

    Args:
      cotangent: like `losses`.

    Returns:
      A tree like the parameters with a leading axis of tasks, which sums to
      the cotangent's own gradient. The tasks of several leaves stand one after
      the other.
    """
    leaves, structure = jax.tree.flatten(cotangent)
    widths = [leaf.shape[-1] for leaf in leaves]
    ends = [sum(widths[:i]) for i in range(1, len(widths))]

    def of_task(chosen):  # one-hot, f32[tasks]
      parts = jnp.split(chosen, ends)
      return self.pullback(
        structure.unflatten(
          leaf * part.reshape((1,) * (leaf.ndim - 1) + (-1,))
          for leaf, part in zip(leaves, parts, strict=True)
        )
      )

    # One after the other: under vmap CPUs add into embedding tables some ten
    # times as slowly.
    each = [of_task(chosen) for chosen in jnp.eye(sum(widths))]
    return jax.tree.map(lambda *parts: jnp.stack(parts), *each)


def differentiate(
  loss_fn: Callable[[Any], Any],
  params: Any,
  mask: Any = None,
  sample_weight: Any = None,
) -> RowLosses:
  """The forward pass: row losses, and their pullback for the backward one.

  Args:
    loss_fn: params -> (losses [..., K] or a pytree of such, aux).
    params: where to differentiate.
    mask: which rows count, bool[...] or a pytree of such; None: all.
    sample_weight: how much they count, like the losses; None: 1 each.

  Raises:
    ValueError: the losses are a scalar, or the mask or the sample weights do
      not belong to them.
  """
  losses, pullback, aux = jax.vjp(loss_fn, params, has_aux=True)
  leaves, structure = jax.tree.flatten(losses)
  if not all(leaf.ndim for leaf in leaves):
    raise ValueError(
      'loss_fn: expected the losses of rows, [..., K], found a scalar'
    )
  if mask is None:
    mask = jax.tree.map(lambda leaf: jnp.ones(leaf.shape[:-1], bool), losses)

  def gradient(cotangent):
    # A pullback takes the dtype of the losses alone.
    return pullback(
      jax.tree.map(lambda c, leaf: c.astype(leaf.dtype), cotangent, losses)
    )[0]

  even = structure.unflatten(
    _mean_cotangents(leaves, structure, mask, sample_weight)
  )
  return RowLosses(losses, aux, even, gradient)


def weigh(
  rows: RowLosses,
  weighting: optax.GradientTransformation,
  weighting_state: Any,
  params: Any,
  **extra: Any,
) -> tuple[Any, Any]:
  """The cotangent of the weighted mean, and the weighting's next state.

  Args:
    rows: of `differentiate`.
    weighting: a chain over the cotangent.
    params: of the network.
    **extra: arguments of the chain. `losses` are those of `rows` if none are
      given; `task_gradients`, a function of a cotangent, costs a backward pass
      per task in the link that calls it, and nothing in a chain without one.
  """
  chain = optax.with_extra_args_support(weighting)
  return chain.update(
    rows.mean_cotangent,
    weighting_state,
    params,
    **{'losses': rows.losses, 'task_gradients': rows.task_gradients, **extra},
  )


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
      tasks last, or a pytree of such; with `has_aux`, (losses, aux).
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
    (`updates/forward.mean_cotangent`). `extra` is what the weighting needs
    (`q_values`, `labels`, `key`, ...). A function among them is called with
    what `loss_fn` returned, for values that depend on it: `q_values=lambda
    losses, aux: ...`. Links also find `losses`, and `task_gradients`: a
    function from a cotangent to a gradient per task.

  Raises:
    ValueError: when it is called, where the losses are a scalar, or the mask
      or an extra argument does not belong to them.
  """

  def grad_fn(
    params, weighting_state, *args, mask=None, sample_weight=None, **extra
  ):
    def losses_of(p):
      found = loss_fn(p, *args)
      return found if has_aux else (found, ())

    rows = differentiate(losses_of, params, mask, sample_weight)
    if sample_weight is not None:
      extra['sample_weight'] = sample_weight
    aux = (rows.aux,) if has_aux else ()
    if mask is None:
      mask = jax.tree.map(
        lambda leaf: jnp.ones(leaf.shape[:-1], bool), rows.losses
      )
    given = {
      name: value(rows.losses, *aux) if callable(value) else value
      for name, value in extra.items()
    }
    weighted, new_state = weigh(
      rows, weighting, weighting_state, params, mask=mask, **given
    )
    # Padding may have infinite losses: it must not enter the sum.
    value = sum(
      jnp.sum(jnp.where(share > 0.0, leaf * share, 0.0))
      for leaf, share in zip(
        jax.tree.leaves(rows.losses),
        jax.tree.leaves(rows.mean_cotangent),
        strict=True,
      )
    )
    gradient = rows.pullback(weighted)
    return ((value, *aux) if has_aux else value), gradient, new_state

  return grad_fn


def _mean_cotangents(leaves, structure, mask, sample_weight) -> list[jax.Array]:
  """d(mean over rows and all leaves' tasks) / d(losses), leaf by leaf.

  Single precision at least: the weights are multiplied before they are
  rounded to the dtype of the losses.
  """
  masks = leafwise.split('mask', mask, leaves, structure)
  weights = [None] * len(leaves)
  if sample_weight is not None:
    weights = leafwise.split('sample_weight', sample_weight, leaves, structure)
  tasks = sum(leaf.shape[-1] for leaf in leaves)
  return [
    (leaf.shape[-1] / tasks)
    * forward.mean_cotangent(rows, leaf.shape[-1], weight).astype(
      jnp.promote_types(leaf.dtype, jnp.float32)
    )
    for leaf, rows, weight in zip(leaves, masks, weights, strict=True)
  ]

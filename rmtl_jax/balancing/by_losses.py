"""Balancers that weigh the tasks' losses: one backward pass.

Every maker here gives an Optax transformation of the cotangent of the row
losses ([..., K], or a pytree of such), which multiplies each task's part by a
weight; the weights average 1 unless a paper says otherwise. `update` takes
`losses`, like the cotangent, and `key` where a maker says so. Losses of tasks
are means over the batch's rows, of losses times the weights that rows have
already (balancing/tasks.mean_losses).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import tasks


class StaticState(NamedTuple):
  """The state of `static`.

  Attributes:
    weights: of the tasks, f32[K]; in the state, so that one compiled step
      serves all values.
  """

  weights: jax.Array


def static(
  num_tasks: int, weights: Sequence[float] | None = None
) -> optax.GradientTransformationExtraArgs:
  """Constant weights.

  Examples:
    >>> link = static(2, weights=(1.0, 3.0))
    >>> cotangent = jnp.ones((2, 2))
    >>> weighted, _ = link.update(cotangent, link.init(cotangent))
    >>> weighted.tolist()
    [[0.5, 1.5], [0.5, 1.5]]

  Args:
    num_tasks: K.
    weights: K numbers >= 0, divided by their mean; None: all 1.
  """
  initial = np.ones(num_tasks) if weights is None else np.asarray(weights)
  initial = (initial / initial.mean()).astype(np.float32)

  def init(params):
    del params
    return StaticState(jnp.array(initial))

  def update(updates, state, params=None, **extra):
    del params, extra
    return tasks.scale(updates, state.weights), state

  return optax.GradientTransformationExtraArgs(init, update)

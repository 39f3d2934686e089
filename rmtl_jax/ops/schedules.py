"""Schedules of learning rates and of lambda over the steps of a stage."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import config as config_lib


def decay_factor(
  schedule: str, step: jax.Array, total: jax.Array, warmup: jax.Array
) -> jax.Array:
  """Factor of a number that falls to 0 after its warmup.

  1 (`constant`), 1 - x (`linear`) or (1 + cos(pi x)) / 2 (`cosine`; Loshchilov
  and Hutter, "SGDR", ICLR 2017, without restarts), where x in [0, 1] is the
  fraction of the steps after the warmup that are over.

  Args:
    schedule: a name of config.SCHEDULES.
    step: steps so far, f32[].
    total: length of the schedule; the factor is 0 afterwards, f32[].
    warmup: steps before the fall, f32[].

  Returns:
    f32[], in [0, 1].

  Raises:
    ValueError: no such schedule.
  """
  if schedule not in config_lib.SCHEDULES:
    raise ValueError(f'schedule: {schedule!r} is unknown')
  if schedule == 'constant':
    return jnp.ones_like(step)
  over = jnp.clip((step - warmup) / jnp.maximum(total - warmup, 1.0), 0.0, 1.0)
  if schedule == 'linear':
    return 1.0 - over
  return 0.5 * (1.0 + jnp.cos(jnp.pi * over))

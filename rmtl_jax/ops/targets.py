"""Temporal-difference targets along one lane of packed sessions."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import types


def td_target(
  r_t: types.Array, discount_t: types.Array, q_tp1: types.Array
) -> types.Array:
  """Eq. (7): r_t + gamma_t Q'(s_{t+1}, pi'(s_{t+1})), one step of one task.

  Args:
    r_t: reward, f32[].
    discount_t: gamma, or 0 at the session's last row, f32[].
    q_tp1: the target critic's value at the next row, f32[].

  Returns:
    f32[], without gradient.
  """
  types.check_ranks((0, 0, 0), r_t, discount_t, q_tp1)
  return jax.lax.stop_gradient(r_t + discount_t * q_tp1)


def lane_targets(
  r_t: types.Array, q_t: types.Array, is_last_t: types.Array, discount: float
) -> types.Array:
  """TD targets of a whole lane: the next state of a slot is the next slot.

  The logged action never changes the next state, so Q'(s_{t+1}, .) is
  Q'(s_t, .) shifted by one slot. Targets at slots that `td_mask` leaves out
  mean nothing.

  Args:
    r_t: rewards, f32[T, K].
    q_t: Q'(s_t, pi'(s_t)) of the target critic, f32[T, K].
    is_last_t: the session ends here, bool[T].
    discount: gamma.

  Returns:
    f32[T, K], without gradient.
  """
  types.check_ranks((2, 2, 1), r_t, q_t, is_last_t)
  q_tp1 = jnp.concatenate([q_t[1:], jnp.zeros_like(q_t[:1])])
  discount_t = jnp.where(is_last_t, 0.0, discount)
  over_tasks = jax.vmap(td_target, in_axes=(0, None, 0))
  return jax.vmap(over_tasks)(r_t, discount_t, q_tp1)


def lambda_values(
  r_t: types.Array,
  q_t: types.Array,
  is_last_t: types.Array,
  goes_on_t: types.Array,
  discount: float,
  td_lambda: float,
) -> types.Array:
  """TD(lambda) values of the next state.

  V_t = (1 - lambda) Q'(s_t, pi'(s_t)) + lambda (r_t + gamma V_{t+1}), where
  the session's last row has r_t alone in the brackets and a cut stays at Q'
  (Sutton and Barto, 2018, section 12.1, over one lane). lambda = 1 gives the
  realised discounted returns of pi', in sessions that no lane cuts. The logged
  action changes neither the next state nor its label, so what pi' would have
  earned is known and needs no correction for another behaviour.

  Args:
    r_t: rewards of pi'(s_t), f32[T, K].
    q_t: Q'(s_t, pi'(s_t)), f32[T, K].
    is_last_t: the session ends here, bool[T].
    goes_on_t: as `goes_on` gives it, bool[T].
    discount: gamma.
    td_lambda: lambda in [0, 1]; 0 is Q' itself.

  Returns:
    f32[T, K], for `lane_targets`.
  """
  types.check_ranks((2, 2, 1, 1), r_t, q_t, is_last_t, goes_on_t)

  def before(value_tp1, slot):
    r, q, is_last, more = slot
    realised = r + jnp.where(is_last, 0.0, discount) * value_tp1
    mixed = (1.0 - td_lambda) * q + td_lambda * realised
    value = jnp.where(is_last | more, mixed, q)
    return value, value

  _, values = jax.lax.scan(
    before,
    jnp.zeros_like(q_t[0]),
    (r_t, q_t, is_last_t, goes_on_t),
    reverse=True,
  )
  return values


def goes_on(segment_t: types.Array) -> jax.Array:
  """Whether the next slot of the lane contains the next row of the session.

  Args:
    segment_t: equal within one session of the lane, -1 in padding, i32[T].

  Returns:
    bool[T]; true within padding too, which masks exclude.
  """
  types.check_ranks((1,), segment_t)
  return jnp.append(segment_t[:-1] == segment_t[1:], False)


def td_mask(
  mask_t: types.Array, is_last_t: types.Array, segment_t: types.Array
) -> types.Array:
  """Slots with a target: the session ends here or continues in the lane.

  A session that is longer than a lane is cut: the cut's last slot is not
  `is_last` and the next slot belongs to another segment, so it has no target.

  Args:
    mask_t: the slot contains a row, bool[T].
    is_last_t: the session ends here, bool[T].
    segment_t: equal within one session of the lane, i32[T].

  Returns:
    bool[T].
  """
  types.check_ranks((1, 1, 1), mask_t, is_last_t, segment_t)
  return mask_t & (is_last_t | goes_on(segment_t))

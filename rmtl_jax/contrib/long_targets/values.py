"""Values of rows that take more than one reward from the log."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import types


def n_step_values(
  r_t: types.Array,
  q_t: types.Array,
  is_last_t: types.Array,
  goes_on_t: types.Array,
  discount: float,
  steps: int,
) -> types.Array:
  """What n-step targets take for Q'(s_{t+1}, .): n - 1 rewards, then Q'.

  V^0_t = Q'(s_t, pi'(s_t)), V^j_t = r_t + gamma V^(j-1)_{t+1}; the session's
  last row has V = r_t, and a cut, whose next row is in another lane, stays at
  Q'. The rewards are those of the target policy's actions: the logged action
  changes neither the next state nor its label, so what pi' would have earned
  there is known, and no correction for another behaviour is needed.

  Args:
    r_t: rewards of pi'(s_t), f32[T, K].
    q_t: Q'(s_t, pi'(s_t)), f32[T, K].
    is_last_t: the session ends here, bool[T].
    goes_on_t: as `goes_on` gives it, bool[T].
    discount: gamma.
    steps: n >= 1; 1 is Q' itself.

  Returns:
    V^(n-1), f32[T, K], for `lane_targets`.
  """
  types.check_ranks((2, 2, 1, 1), r_t, q_t, is_last_t, goes_on_t)

  def look_ahead(_, value_t):
    value_tp1 = jnp.concatenate([value_t[1:], jnp.zeros_like(value_t[:1])])
    further = jnp.where(goes_on_t[:, None], r_t + discount * value_tp1, q_t)
    return jnp.where(is_last_t[:, None], r_t, further)

  return jax.lax.fori_loop(0, steps - 1, look_ahead, q_t)


def lambda_values(
  r_t: types.Array,
  q_t: types.Array,
  is_last_t: types.Array,
  goes_on_t: types.Array,
  discount: float,
  td_lambda: float,
) -> types.Array:
  """What TD(lambda) targets take for Q'(s_{t+1}, .).

  V_t = (1 - lambda) Q'(s_t, pi'(s_t)) + lambda (r_t + gamma V_{t+1}), where
  the session's last row has r_t alone in the brackets and a cut stays at Q'
  (Sutton and Barto, 2018, section 12.1, over one lane). lambda = 1 gives the
  realised discounted returns of pi', in sessions that no lane cuts.

  Args:
    r_t: rewards of pi'(s_t), f32[T, K]; see `n_step_values`.
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

"""How members of an ensemble become one prediction."""

from __future__ import annotations

import jax
from jax.scipy import special


def logit_of_mean(logits: jax.Array) -> jax.Array:
  """The logit of the members' mean probability, log p - log(1 - p).

  With p = mean_m sigmoid(z_m) both logarithms are log-mean-exps of
  log-sigmoids, so nothing is rounded to 0 or 1 on the way; the two log M
  cancel.

  Args:
    logits: z, one per member, f32[M].

  Returns:
    f32[].
  """
  return special.logsumexp(jax.nn.log_sigmoid(logits)) - special.logsumexp(
    jax.nn.log_sigmoid(-logits)
  )

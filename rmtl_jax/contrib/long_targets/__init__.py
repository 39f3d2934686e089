"""TD targets of n steps and of TD(lambda): critic.n_steps, critic.td_lambda."""

from __future__ import annotations

from rmtl_jax import registry
from rmtl_jax.ops import look_ahead

_MODULE = 'rmtl_jax.contrib.long_targets.values'

look_ahead.RECORDS.register(
  look_ahead.LookAhead(
    'n_steps',
    lambda config: config.n_steps > 1,
    registry.lazy(_MODULE, 'n_step_values'),
  )
)
look_ahead.RECORDS.register(
  look_ahead.LookAhead(
    'td_lambda',
    lambda config: config.td_lambda > 0.0,
    registry.lazy(_MODULE, 'lambda_values'),
  )
)

"""Weightings that have not beaten their controls, and TD3+BC's objective."""

from __future__ import annotations

from rmtl_jax import registry as parts
from rmtl_jax.weighting import registry

_HERE = 'rmtl_jax.contrib.weightings'

registry.register(
  registry.Weighting(
    'mean_one',
    'weights 1 - lambda Q by their mean',
    parts.lazy(f'{_HERE}.mean_one', 'scale_by_mean_one'),
    formula='the weights 1 - lambda Q, divided by their mean',
    lambda_=registry.ANY,
    needs=('mask',),
    relative=True,
    own_shuffle=True,
  )
)
registry.register(
  registry.Weighting(
    'uncertainty',
    "weights by the critics' disagreement",
    parts.lazy(f'{_HERE}.uncertainty', 'scale_by_uncertainty'),
    formula=(
      "the weights 1 + lambda (u / mean u - 1), where u is the critics'"
      ' disagreement, not below 0 and divided by their mean'
    ),
    lambda_=registry.ANY,
    needs=('q_deviation', 'mask'),
    relative=True,
    own_shuffle=True,
  )
)
registry.register(
  registry.Weighting(
    'td3_bc',
    'TD3+BC: the loss, and the actor climbs Q',
    objective=parts.lazy(f'{_HERE}.td3_bc', 'td3_bc_losses'),
  )
)

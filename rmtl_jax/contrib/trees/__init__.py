"""Boosted trees beside the towers, grown on train rows before stage 1."""

from __future__ import annotations

from rmtl_jax import registry
from rmtl_jax.networks import registry as networks

networks.WRAPPERS.register(
  networks.Wrapper(
    'trees',
    setting='trees',
    wrap=registry.lazy(f'{__name__}.network', 'wrap'),
    by_task=True,
  )
)

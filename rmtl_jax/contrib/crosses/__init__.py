"""A term for every pair of two fields' categories, beside the towers."""

from __future__ import annotations

from rmtl_jax import registry
from rmtl_jax.networks import registry as networks

networks.WRAPPERS.register(
  networks.Wrapper(
    'crosses',
    setting='crosses',
    wrap=registry.lazy(f'{__name__}.network', 'wrap'),
    by_task=True,
  )
)

"""A factorised affinity of user and item beside the towers, with priors."""

from __future__ import annotations

from rmtl_jax import registry
from rmtl_jax.networks import registry as networks

networks.WRAPPERS.register(
  networks.Wrapper(
    'affinity',
    setting='affinity_dim',
    wrap=registry.lazy(f'{__name__}.network', 'wrap'),
    reads_item=True,
    tables=('table', 'spread'),
    prior=registry.lazy(f'{__name__}.prior', 'add_divergence'),
  )
)

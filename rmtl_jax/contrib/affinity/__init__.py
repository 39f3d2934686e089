"""A factorised affinity of user and item beside the towers, with priors."""

import pkgutil

from rmtl_jax.networks import registry

registry.register(
  registry.Wrapper(
    'affinity',
    setting='affinity_dim',
    wrap=lambda *args: pkgutil.resolve_name(f'{__name__}.network:wrap')(*args),
    reads_item=True,
    tables=('table', 'spread'),
    prior=lambda weight: pkgutil.resolve_name(
      f'{__name__}.prior:add_divergence'
    )(weight),
  )
)

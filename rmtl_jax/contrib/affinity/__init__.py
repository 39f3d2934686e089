"""A factorised affinity of user and item beside the towers, with priors."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

from rmtl_jax.networks import registry


def _lazy(module: str, name: str) -> Callable[..., Any]:
  """A function of a module of this package, imported when it is called."""

  def call(*args: Any) -> Any:
    return getattr(importlib.import_module(f'{__name__}.{module}'), name)(*args)

  return call


registry.register(
  registry.Wrapper(
    'affinity',
    setting='affinity_dim',
    wrap=_lazy('network', 'wrap'),
    reads_item=True,
    tables=('table', 'spread'),
    prior=_lazy('prior', 'add_divergence'),
  )
)

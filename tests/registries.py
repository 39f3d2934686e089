"""The registries of parts, as they were before a test registered its own."""

from __future__ import annotations

from typing import Any

from rmtl_jax.balancing import balancer_registry
from rmtl_jax.evaluation import metric_registry
from rmtl_jax.networks import backbone_registry
from rmtl_jax.runtime.tracking import trackers
from rmtl_jax.weighting import weighting_registry


class Registries:
  """Takes note of every registry; `undo` puts it back, as another process."""

  def __init__(self):
    """Remembers what is registered now."""
    found: tuple[dict[str, Any], ...] = (
      backbone_registry.BACKBONES._records,
      metric_registry.RECORDS._records,
      weighting_registry.RECORDS._records,
      trackers.TRACKERS._records,
      balancer_registry.RECORDS._records,
    )
    self._kept = [(one, dict(one)) for one in found]

  def undo(self) -> None:
    """Forgets what was registered since."""
    for found, kept in self._kept:
      found.clear()
      found.update(kept)

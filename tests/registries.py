"""The registries of parts, as they were before a test registered its own."""

from __future__ import annotations

from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax.data import sources
from rmtl_jax.networks import functional
from rmtl_jax.weighting import registry


class Registries:
  """Takes note of every registry; `undo` puts it back, as another process."""

  def __init__(self):
    """Remembers what is registered now."""
    found: tuple[dict[str, Any], ...] = (
      config_lib.BACKBONES,
      functional._BUILDERS,
      registry.RECORDS,
      registry.FORMS,
      sources.SOURCES,
    )
    self._kept = [(one, dict(one)) for one in found]

  def undo(self) -> None:
    """Forgets what was registered since."""
    for found, kept in self._kept:
      found.clear()
      found.update(kept)

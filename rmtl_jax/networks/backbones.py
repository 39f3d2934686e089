"""The registry of backbones: all that the package knows of each by name.

A backbone is one `Backbone`; nothing else tests for its name. This module
imports no JAX, so that command lines are checked before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import registry


@dataclasses.dataclass(frozen=True)
class Backbone:
  """One multi-task actor.

  Attributes:
    name: what `config.backbone` says.
    make: (spec, config, rngs) -> an NNX module, see
      `functional.register_backbone`.
    by_task: whether it is K networks of one task each, side by side.
    min_experts: least value of `config.network.num_experts`.
  """

  name: str
  make: Callable[..., Any]
  by_task: bool = False
  min_experts: int = 1


_ACTORS = 'rmtl_jax.networks.actors'
RECORDS = registry.Registry(
  'backbone',
  (
    Backbone(
      'single_task',
      registry.lazy(_ACTORS, 'SharedBottom'),
      by_task=True,
    ),
    Backbone(
      'shared_bottom',
      registry.lazy(_ACTORS, 'SharedBottom'),
    ),
    Backbone(
      'omoe',
      registry.lazy(_ACTORS, 'MixtureOfExperts', gate_per_task=False),
    ),
    Backbone(
      'mmoe',
      registry.lazy(_ACTORS, 'MixtureOfExperts', gate_per_task=True),
    ),
    Backbone(
      'ple',
      registry.lazy(_ACTORS, 'Ple'),
      min_experts=2,  # half are shared
    ),
    Backbone(
      'aitm',
      registry.lazy(_ACTORS, 'Aitm'),
    ),
    Backbone(
      'esmm',
      registry.lazy(_ACTORS, 'Esmm'),
    ),
  ),
)

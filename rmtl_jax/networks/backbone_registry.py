"""The registry of backbones.

Networks, optimizers and meshes read a record; none tests for a name. The module
imports no JAX, so that parts register before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry


@dataclasses.dataclass(frozen=True)
class BackboneRecord:
  """One multi-task actor.

  Attributes:
    name: value of `config.backbone`.
    make: (spec, config, rngs) -> an NNX module, see
      `factory.register_backbone`.
    by_task: whether it is K networks of one task each, side by side.
    min_experts: least value of `config.network.num_experts`.
    of_all_rows: whether a task's probability is that of all rows, the product
      along the funnel, and can't be evaluated on another task's positives.
    is_fitted: whether `make` takes (spec, config) and gives a
      functional.Network with `fit`, which stage 1 calls once; such a network
      has no epochs and no critics.
  """

  name: str
  make: Callable[..., Any]
  by_task: bool = False
  min_experts: int = 1
  of_all_rows: bool = False
  is_fitted: bool = False


def _backbone(class_name: str) -> Callable[..., Any]:
  return registry.lazy('rmtl_jax.networks.backbones', class_name)


BACKBONES = registry.Registry(
  'backbone',
  (
    BackboneRecord('single_task', _backbone('SharedBottom'), by_task=True),
    BackboneRecord('shared_bottom', _backbone('SharedBottom')),
    BackboneRecord('omoe', _backbone('Omoe')),
    BackboneRecord('mmoe', _backbone('Mmoe')),
    # Half of ple's experts are shared.
    BackboneRecord('ple', _backbone('Ple'), min_experts=2),
    BackboneRecord('aitm', _backbone('Aitm')),
    BackboneRecord('esmm', _backbone('Esmm'), of_all_rows=True),
  ),
)


def trained() -> list[str]:
  """Names of the backbones that gradients train."""
  return [name for name, one in BACKBONES.items() if not one.is_fitted]


def is_fitted(config: config_lib.Config) -> bool:
  """Whether the settings' backbone is fitted at once, see `BackboneRecord`."""
  return BACKBONES.find(config.backbone).is_fitted

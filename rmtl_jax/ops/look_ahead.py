"""The registry of targets that look more than one row ahead.

The paper's target takes the target critic's value for the next row's. A record
here takes something else for it. This module imports no JAX, so that parts can
register themselves before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry


@dataclasses.dataclass(frozen=True)
class LookAhead:
  """What a target takes for the next row's value.

  Attributes:
    name: the critics' setting that asks for it.
    is_set: whether the critics' settings ask for it.
    values: (rewards of pi'(s_t) f32[T, K], Q'(s_t, pi'(s_t)) f32[T, K],
      whether the session ends here bool[T], whether the next slot goes on with
      it bool[T], gamma, the setting's value) -> the values of these rows
      f32[T, K], which `targets.lane_targets` shifts by one slot.
  """

  name: str
  is_set: Callable[[config_lib.CriticConfig], bool]
  values: Callable[..., Any]


RECORDS: registry.Registry[LookAhead] = registry.Registry('look-ahead')


def chosen(config: config_lib.CriticConfig) -> LookAhead | None:
  """The one that the settings ask for; None: the paper's single step."""
  return next((one for one in RECORDS.values() if one.is_set(config)), None)

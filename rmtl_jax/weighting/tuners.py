"""The registry of tuners: what moves a weighting's numbers while it trains.

A tuner acts after every step of stage 3 and sees a batch of validation rows
beside the step's own. Stages and steps pass that batch on without knowing what
it is for. This module imports no JAX, so that parts can register themselves
before anything heavy starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import registry


@dataclasses.dataclass(frozen=True)
class Tuner:
  """One tuner.

  Attributes:
    name: what errors call it.
    is_set: whether these settings of a weighting ask for it.
    check: raises types.InputError where a run's settings can't have it.
    init: gives its state, which is kept in checkpoints.
    make: (actor's network, config) -> tune(taken, new actor, validation batch,
      state) -> (new actor, new state); `taken` is an updates/actor.Step.
    numbers: (weighting state) -> {name: number} for the record of an epoch.
  """

  name: str
  is_set: Callable[[config_lib.WeightingConfig], bool]
  check: Callable[[config_lib.Config], None]
  init: Callable[[], Any]
  make: Callable[..., Callable[..., Any]]
  numbers: Callable[[Any], dict[str, float]]


RECORDS: registry.Registry[Tuner] = registry.Registry('tuner')


def chosen(config: config_lib.WeightingConfig) -> Tuner | None:
  """The tuner that these settings ask for."""
  return next((one for one in RECORDS.values() if one.is_set(config)), None)


def numbers(weighting_state: Any) -> dict[str, float]:
  """What tuned numbers are now, by name."""
  found: dict[str, float] = {}
  for one in RECORDS.values():
    found |= one.numbers(weighting_state)
  return found

"""The registry of what trains on labels that are not final yet.

It imports no JAX, so that command lines are checked before anything heavy
starts.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

from rmtl_jax import registry

DROP = 'drop'


@dataclasses.dataclass(frozen=True)
class DelayMethod:
  """One value of `config.delayed`.

  Attributes:
    name: of the method.
    label: short description, for tables.
    complete: delayed.Problem -> (labels, weights), f32[R, K] of the train rows;
      None leaves both as they are.
  """

  name: str
  label: str
  complete: Callable[..., Any]


def _method(name: str, label: str) -> DelayMethod:
  function = registry.lazy('rmtl_jax.training.delayed', f'by_{name}')
  return DelayMethod(name, label, function)


RECORDS = registry.Registry(
  'delayed',
  (
    _method(DROP, 'rows without a final label are left out'),
    _method('zero', 'a label is 0 until its event is seen'),
    _method('row', "probability given the row's own state"),
    _method('critic', "value of the user's last state"),
    _method('dfm', 'exponential delay (Chapelle 2014)'),
    _method('es_dfm', 'importance weights (Yang et al. 2021)'),
  ),
)

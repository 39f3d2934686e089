"""The session MDP as an environment, for any agent of the field.

An episode is a session of prepared data, a step one of its rows (paper, section
3.1). `make` gives pure functions with gymnax's interface, `make_gymnasium` a
Gymnasium environment.
"""

from __future__ import annotations

from rmtl_jax.environment.row_encoding import one_hot
from rmtl_jax.environment.session_mdp import (
  Params,
  SessionEnvironment,
  State,
  make,
  make_gymnasium,
)
from rmtl_jax.environment.spaces import Box, Dict

__all__ = [
  'Box',
  'Dict',
  'Params',
  'SessionEnvironment',
  'State',
  'make',
  'make_gymnasium',
  'one_hot',
]

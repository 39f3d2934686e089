"""The session MDP as an environment, for any agent of the field.

An episode is a session of prepared data, a step one of its rows (paper, section
3.1). `make` gives pure functions, `make_gymnasium` a Gymnasium environment.
"""

from __future__ import annotations

from rmtl_jax.environment.session_mdp import (
  Data,
  SessionEnvironment,
  State,
  make,
  make_gymnasium,
  one_hot,
)

__all__ = [
  'Data',
  'SessionEnvironment',
  'State',
  'make',
  'make_gymnasium',
  'one_hot',
]

"""The session MDP as a Gymnasium environment (extra `environment`)."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from rmtl_jax.environment import session_mdp


class GymnasiumSessions(gymnasium.Env):
  """One session per episode, by the functions of a SessionEnvironment.

  `reset` begins a random session, or that of `options={'session': n}`. `info`
  of a step contains `rewards`, one per task, and `row`, its place in the split.

  Attributes:
    sessions: the pure functions and their data.
  """

  def __init__(self, env: session_mdp.SessionEnvironment):
    """Compiles nothing yet; `env` is of `environment.make`."""
    self.sessions = env
    self.action_space = spaces.Box(0.0, 1.0, (env.spec.num_tasks,))
    self._reset, self._step = jax.jit(env.reset), jax.jit(env.step)
    self.observation_space = self._space()
    self._state: Any = None

  def _space(self) -> spaces.Space:
    env = self.sessions
    seen = jax.eval_shape(lambda: env.reset(0, env.data)[0])
    if not isinstance(seen, dict):
      return spaces.Box(-np.inf, np.inf, seen.shape)
    lists = np.array(env.spec.multi_valued, int).reshape(-1, 2)  # sizes, widths
    ids = np.array(env.spec.categorical, int) - 1
    values = np.repeat(lists[:, 0] - 1, lists[:, 1])
    found = {
      'categorical': spaces.Box(np.zeros_like(ids), ids, dtype=np.int32),
      'multi_valued': spaces.Box(
        np.full_like(values, -1), values, dtype=np.int32
      ),
      'numeric': spaces.Box(-np.inf, np.inf, (env.spec.numeric,)),
    }
    return spaces.Dict({k: s for k, s in found.items() if 0 not in s.shape})

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[Any, dict[str, Any]]:
    """Begins a session: a random one, or `options['session']`."""
    super().reset(seed=seed)
    data = self.sessions.data
    count = len(data.starts) - 1
    drawn = self.np_random.integers(count)
    session = int((options or {}).get('session', drawn))
    if not 0 <= session < count:
      raise ValueError(f'session: found {session}, expected 0 to {count - 1}')
    observation, self._state = self._reset(np.int32(session), data)
    return self._shown(jax.device_get(observation)), {'session': session}

  def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """One row; see SessionEnvironment.step."""
    observation, self._state, *rest = self._step(
      self._state, np.asarray(action, np.float32), self.sessions.data
    )
    observation, (reward, terminated, info) = jax.device_get(
      (observation, rest)
    )
    return (
      self._shown(observation),
      float(reward),
      bool(terminated),
      False,
      info | {'row': int(info['row'])},
    )

  def _shown(self, observation: Any) -> Any:
    """An observation without the kinds of features that the data lack."""
    if not isinstance(observation, dict):
      return observation
    return {name: x for name, x in observation.items() if x.size}

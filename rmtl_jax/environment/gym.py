"""The session MDP as a Gymnasium environment (extra `environment`)."""

from __future__ import annotations

from typing import Any

import gymnasium
import jax
import jax.numpy as jnp
import numpy as np
from gymnasium import spaces as gym_spaces

from rmtl_jax.environment import session_mdp, spaces


class GymnasiumSessions(gymnasium.Env):
  """A session per episode, by the functions of a SessionEnvironment.

  `reset(options={'session': n})` begins the session of that number. In `info`
  of a step are `rewards`, one per task, and `row`, its place in the split.

  Attributes:
    sessions: the pure functions and their data.
  """

  def __init__(self, env: session_mdp.SessionEnvironment, max_steps: int = 0):
    """Compiles nothing yet.

    Args:
      env: of `environment.make`.
      max_steps: rows after which a session is cut off; 0: never.
    """
    self.sessions = env
    self.action_space = _of(env.action_space())
    self.observation_space = _of(env.observation_space())
    self._params = env.default_params.replace(
      max_steps_in_episode=jnp.int32(max_steps)
    )
    self._start = jax.jit(env.start)
    self._step = jax.jit(self._numbers)
    self._state: Any = None

  def _numbers(self, state: Any, action: Any, params: Any) -> Any:
    key = jax.random.key(0)  # transitions are the log's
    observation, new_state, reward, terminated, info = self.sessions.step_env(
      key, state, action, params
    )
    truncated = self.sessions.is_truncated(new_state, params)
    # One transfer to the host; the state stays on the device.
    return new_state, (observation, reward, terminated, truncated, info)

  def reset(
    self, *, seed: int | None = None, options: dict[str, Any] | None = None
  ) -> tuple[Any, dict[str, Any]]:
    """Begins a session: a random one, or `options['session']`."""
    super().reset(seed=seed)
    count = len(self._params.starts) - 1
    drawn = self.np_random.integers(count)
    session = int((options or {}).get('session', drawn))
    if not 0 <= session < count:
      raise ValueError(f'session: found {session}, expected 0 to {count - 1}')
    observation, self._state = self._start(np.int32(session), self._params)
    return self._shown(jax.device_get(observation)), {'session': session}

  def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
    """One row; see SessionEnvironment.step_env."""
    action = np.asarray(action, np.float32)
    self._state, seen = self._step(self._state, action, self._params)
    observation, reward, terminated, truncated, info = jax.device_get(seen)
    return (
      self._shown(observation),
      float(reward),
      bool(terminated),
      bool(truncated),
      info | {'row': int(info['row'])},
    )

  def _shown(self, observation: Any) -> Any:
    """An observation without the kinds of features that the data lack."""
    if not isinstance(observation, dict):
      return observation
    return {name: x for name, x in observation.items() if x.size}


def _of(space: spaces.Box | spaces.Dict) -> gym_spaces.Space:
  """The same space as Gymnasium has it."""
  if isinstance(space, spaces.Dict):
    return gym_spaces.Dict(
      {
        name: _of(one)
        for name, one in space.spaces.items()
        if 0 not in one.shape
      }
    )
  low, high = (np.broadcast_to(b, space.shape) for b in (space.low, space.high))
  return gym_spaces.Box(
    low.astype(space.dtype), high.astype(space.dtype), dtype=space.dtype
  )


gymnasium.register(
  'rmtl_jax/Sessions-v0',
  entry_point='rmtl_jax.environment.session_mdp:make_gymnasium',
)

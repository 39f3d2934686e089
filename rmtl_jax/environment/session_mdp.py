"""The session MDP as pure functions, with the interface of gymnax 1.0.

State, action, reward and transition are those of the paper's section 3: the
state is a row's features, the action one number in [0, 1] per task, the reward
that of `ops/rewards.py`, and the next state the session's next row, whatever
the action. Training does not use this module: it reads the same transitions
from packed lanes, many at a time, and a test compares the two.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import struct

from rmtl_jax import extras, types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.environment import spaces
from rmtl_jax.ops import rewards, task_losses

Observation = Any
Encode = Callable[[types.Inputs], jax.Array]


class State(struct.PyTreeNode):
  """Where an episode is.

  Attributes:
    time: steps taken, i32[].
    session: number of the session in its split, i32[].
  """

  time: jax.Array
  session: jax.Array


class Params(struct.PyTreeNode):
  """The data, passed as an argument so that it is no constant of programs.

  Attributes:
    inputs: features of the R rows, sessions one after the other.
    labels: f32[R, K].
    starts: first row of every session, then R, i32[S + 1].
    max_steps_in_episode: an episode is cut off after so many steps, i32[];
      0: never.
    sample_weight: f32[R, K], 0 where a label is not observed, which pays
      nothing; None: all are.
  """

  inputs: types.Inputs
  labels: jax.Array
  starts: jax.Array
  max_steps_in_episode: jax.Array
  sample_weight: jax.Array | None = None


class SessionEnvironment:
  """The sessions of a split; every method is pure and can be transformed.

  Each method takes `params`; None means `default_params`. Under a `jit` of
  your own pass them as an argument, else the data become constants of the
  program.

  Attributes:
    spec: the features and tasks.
    default_params: the data, on the default device.
  """

  def __init__(
    self,
    rows: columns_lib.SplitColumns,
    spec: types.FeatureSpec,
    encode: Encode | None = None,
  ):
    """Puts the rows on the device.

    Args:
      rows: a split in memory.
      spec: its features.
      encode: the inputs of one row -> its observation, f32[D]. None:
        observations are dicts of `categorical` i32[F], `multi_valued` i32[M]
        and `numeric` f32[N], see types.Inputs.
    """
    self.spec = spec
    self.default_params = jax.device_put(
      Params(
        types.Inputs(rows.categorical, rows.multi_valued, rows.numeric),
        jnp.asarray(rows.labels),
        jnp.asarray(rows.starts, jnp.int32),
        jnp.int32(0),
        None if rows.sample_weight is None else jnp.asarray(rows.sample_weight),
      )
    )
    self._reward = task_losses.reward_function(spec.losses)
    self._encode = encode
    self._jitted_step = jax.jit(self._step)
    self._jitted_reset = jax.jit(self.reset_env)

  @property
  def name(self) -> str:
    """The environment's name."""
    return 'Sessions'

  @property
  def num_actions(self) -> int:
    """Numbers of an action, K."""
    return self.spec.num_tasks

  def reset(
    self, key: jax.Array, params: Params | None = None
  ) -> tuple[Observation, State]:
    """Begins a session that is drawn uniformly.

    Args:
      key: of the draw.
      params: the data.

    Returns:
      (observation of its first row, state).
    """
    return self._jitted_reset(key, self._or_default(params))

  def step(
    self,
    key: jax.Array,
    state: State,
    action: types.Array,
    params: Params | None = None,
  ) -> tuple[Observation, State, jax.Array, jax.Array, jax.Array, Any]:
    """One row; begins another session where the episode has ended.

    Args:
      key: of the session that comes next.
      state: of `reset` or `step`.
      action: f32[K], in [0, 1].
      params: the data.

    Returns:
      (observation, state, reward f32[], terminated bool[], truncated bool[],
      info). The reward is the sum over tasks. In `info` are those of `step_env`
      and `terminated`, `truncated` and `final_observation`, the one before the
      reset.
    """
    return self._jitted_step(key, state, action, self._or_default(params))

  def _step(self, key, state, action, params):
    step_key, reset_key = jax.random.split(key)
    observation, new_state, reward, terminated, info = self.step_env(
      step_key, state, action, params
    )
    truncated = self.is_truncated(new_state, params)
    done = terminated | truncated
    first = self.reset_env(reset_key, params)
    shown, new_state = jax.tree.map(
      lambda a, b: jnp.where(done, a, b), first, (observation, new_state)
    )
    info = {
      **info,
      'terminated': terminated,
      'truncated': truncated,
      'final_observation': observation,
    }
    return shown, new_state, reward, terminated, truncated, info

  def reset_env(
    self, key: jax.Array, params: Params | None = None
  ) -> tuple[Observation, State]:
    """As `reset`, not compiled."""
    params = self._or_default(params)
    sessions = params.starts.shape[0] - 1
    return self.start(jax.random.randint(key, (), 0, sessions), params)

  def start(
    self, session: types.Array | int, params: Params | None = None
  ) -> tuple[Observation, State]:
    """Begins the session of a number, from 0; as `reset` does a random one."""
    params = self._or_default(params)
    state = State(jnp.int32(0), jnp.asarray(session, jnp.int32))
    return self.observe(None, state, None, params), state

  def step_env(
    self,
    key: jax.Array,
    state: State,
    action: types.Array,
    params: Params | None = None,
  ) -> tuple[Observation, State, jax.Array, jax.Array, dict[str, jax.Array]]:
    """One row, without a reset at the end.

    Args:
      key: not used; transitions are those of the log.
      state: of an unfinished episode.
      action: f32[K], in [0, 1].
      params: the data.

    Returns:
      (observation of the next row, state, reward f32[], whether the session has
      ended bool[], info). After the last row the observation is its own, which
      has no value. In `info`: `rewards` f32[K], one per task, `discount` f32[],
      0 where the session has ended, and `row` i32[], the row's place in the
      split.
    """
    params = self._or_default(params)
    row = self._row(state, params)
    weight = params.sample_weight
    by_task = rewards.observed(
      self._reward(jnp.asarray(action), params.labels[row]),
      None if weight is None else weight[row],
    )
    new_state = state.replace(time=state.time + 1)
    info = {
      'rewards': by_task,
      'discount': self.discount(new_state, params),
      'row': row,
    }
    return (
      self.observe(key, new_state, action, params),
      new_state,
      jnp.sum(by_task),
      self.is_terminated(new_state, params),
      info,
    )

  def observe(
    self,
    key: jax.Array | None,
    state: State,
    action: types.Array | None,
    params: Params | None = None,
  ) -> Observation:
    """The features of the state's row; only `state` and `params` count."""
    del key, action
    params = self._or_default(params)
    row = self._row(state, params)
    inputs = jax.tree.map(lambda x: x[row], params.inputs)
    return inputs_dict(inputs) if self._encode is None else self._encode(inputs)

  def is_terminated(
    self, state: State, params: Params | None = None
  ) -> jax.Array:
    """Whether the session has ended, bool[]."""
    starts = self._or_default(params).starts
    return state.time >= starts[state.session + 1] - starts[state.session]

  def is_truncated(
    self, state: State, params: Params | None = None
  ) -> jax.Array:
    """Whether an unfinished session was cut off, bool[]."""
    limit = self._or_default(params).max_steps_in_episode
    goes_on = ~self.is_terminated(state, params)
    return (limit > 0) & (state.time >= limit) & goes_on

  def discount(self, state: State, params: Params | None = None) -> jax.Array:
    """0 where the session has ended, else 1; f32[]."""
    return jnp.where(self.is_terminated(state, params), 0.0, 1.0)

  def action_space(self, params: Params | None = None) -> spaces.Box:
    """K numbers in [0, 1]."""
    del params
    return spaces.Box(0.0, 1.0, (self.num_actions,))

  def observation_space(
    self, params: Params | None = None
  ) -> spaces.Box | spaces.Dict:
    """Vectors, or the features by kind; unused slots of lists are -1."""
    if self._encode is not None:
      seen = jax.eval_shape(lambda: self.start(0, params)[0])
      return spaces.Box(-np.inf, np.inf, seen.shape, seen.dtype)
    spec = self.spec
    lists = np.array(spec.multi_valued, int).reshape(-1, 2)  # sizes, widths
    return spaces.Dict(
      {
        'categorical': _rows_of(0, np.array(spec.categorical, int) - 1),
        'multi_valued': _rows_of(-1, np.repeat(lists[:, 0] - 1, lists[:, 1])),
        'numeric': spaces.Box(-np.inf, np.inf, (spec.numeric,)),
      }
    )

  def state_space(self, params: Params | None = None) -> spaces.Dict:
    """The two numbers of a State."""
    starts = np.asarray(self._or_default(params).starts)
    longest, sessions = int(np.diff(starts).max()), len(starts) - 1
    return spaces.Dict(
      {
        'time': spaces.Box(0, longest, (), np.int32),
        'session': spaces.Box(0, sessions - 1, (), np.int32),
      }
    )

  def _row(self, state: State, params: Params) -> jax.Array:
    """The row of a state; once the session has ended its last, i32[]."""
    first, end = (params.starts[state.session + i] for i in (0, 1))
    return jnp.minimum(first + state.time, end - 1)

  def _or_default(self, params: Params | None) -> Params:
    return self.default_params if params is None else params


def inputs_dict(inputs: types.Inputs) -> dict[str, jax.Array]:
  """The features by kind; `types.Inputs(**features)` is the way back."""
  return {
    name: jnp.asarray(getattr(inputs, name))
    for name in ('categorical', 'multi_valued', 'numeric')
  }


def _rows_of(low: int, high: np.ndarray) -> spaces.Box:
  return spaces.Box(
    np.full(high.shape, low, np.int32),
    high.astype(np.int32),
    high.shape,
    np.int32,
  )


def make(
  data_dir: str | os.PathLike[str],
  split: str = 'train',
  encode: Encode | None = None,
) -> SessionEnvironment:
  """Makes an environment of prepared sessions.

  Args:
    data_dir: DATA, of `rmtl prepare`.
    split: 'train', 'validation' or 'test'; it has to fit the memory.
    encode: the inputs of one row -> f32[D], such as `one_hot(spec)`; None:
      observations are dicts of features.

  Raises:
    types.InputError: no such data or split, or damaged data.
  """
  path = pathlib.Path(data_dir)
  with reading.shared_lock(path):
    manifest = manifest_file.read(path)
    rows = columns_lib.read_split(path, manifest, split)
  return SessionEnvironment(rows, manifest.feature_spec(), encode)


def make_gymnasium(
  data_dir: str | os.PathLike[str],
  split: str = 'train',
  encode: Encode | None = None,
  max_steps: int = 0,
) -> Any:
  """Makes a Gymnasium environment of prepared sessions.

  Args:
    data_dir: as for `make`.
    split: likewise.
    encode: likewise.
    max_steps: sessions are cut off (truncated) after so many rows; 0: never.

  Returns:
    A `gymnasium.Env`; see `rmtl_jax/environment/gym.py`.

  Raises:
    types.InputError: Gymnasium is not installed, or as for `make`.
  """
  extras.require('gymnasium', 'the Gymnasium environment')
  from rmtl_jax.environment import gym

  return gym.GymnasiumSessions(make(data_dir, split, encode), max_steps)

"""The session MDP as pure functions.

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
from flax import struct

from rmtl_jax import extras, types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file, reading
from rmtl_jax.ops import rewards, task_losses

Observation = Any
Encode = Callable[[types.Inputs], jax.Array]


class State(struct.PyTreeNode):
  """Where an episode is.

  Attributes:
    session: number of the session in its split, i32[].
    time: steps taken, i32[].
  """

  session: jax.Array
  time: jax.Array


class Data(struct.PyTreeNode):
  """The rows, passed as an argument so that they are no constants of programs.

  Attributes:
    inputs: features of the R rows, sessions one after the other.
    labels: f32[R, K].
    starts: first row of every session, then R, i32[S + 1].
    sample_weight: f32[R, K], 0 where a label is not observed, whose reward is
      0; None: all are.
  """

  inputs: types.Inputs
  labels: jax.Array
  starts: jax.Array
  sample_weight: jax.Array | None = None


class SessionEnvironment:
  """The sessions of a split; the methods are pure and can be transformed.

  Attributes:
    spec: the features and tasks.
    data: the rows, on the default device.
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
    self.data = jax.device_put(
      Data(
        types.Inputs(rows.categorical, rows.multi_valued, rows.numeric),
        jnp.asarray(rows.labels),
        jnp.asarray(rows.starts, jnp.int32),
        None if rows.sample_weight is None else jnp.asarray(rows.sample_weight),
      )
    )
    self._reward = task_losses.reward_function(spec.losses)
    self._encode = encode

  def reset(
    self, session: types.Array | int, data: Data
  ) -> tuple[Observation, State]:
    """Begins a session.

    Args:
      session: its number, from 0.
      data: the rows.

    Returns:
      (observation of its first row, state).
    """
    state = State(jnp.asarray(session, jnp.int32), jnp.int32(0))
    return self._observe(state, data), state

  def step(
    self, state: State, action: types.Array, data: Data
  ) -> tuple[Observation, State, jax.Array, jax.Array, dict[str, jax.Array]]:
    """One row.

    Args:
      state: of `reset` or `step`.
      action: f32[K], in [0, 1].
      data: the rows.

    Returns:
      (observation of the next row, state, reward f32[], whether the session has
      ended bool[], info). The reward is the sum over tasks. `info` contains
      `rewards` f32[K], one per task, and `row` i32[], the row's place in the
      split. After the last row, the observation remains that row's, and rewards
      are 0.
    """
    row = _row(state, data)
    weight = data.sample_weight
    by_task = rewards.observed(
      self._reward(jnp.asarray(action), data.labels[row]),
      None if weight is None else weight[row],
    )
    by_task = jnp.where(_has_ended(state, data), 0.0, by_task)
    new_state = state.replace(time=state.time + 1)
    return (
      self._observe(new_state, data),
      new_state,
      jnp.sum(by_task),
      _has_ended(new_state, data),
      {'rewards': by_task, 'row': row},
    )

  def _observe(self, state: State, data: Data) -> Observation:
    inputs = jax.tree.map(lambda x: x[_row(state, data)], data.inputs)
    if self._encode is not None:
      return self._encode(inputs)
    kinds = ('categorical', 'multi_valued', 'numeric')
    return {kind: jnp.asarray(getattr(inputs, kind)) for kind in kinds}


def _row(state: State, data: Data) -> jax.Array:
  """The row of a state; the last one after a session has ended, i32[]."""
  first, end = (data.starts[state.session + i] for i in (0, 1))
  return jnp.minimum(first + state.time, end - 1)


def _has_ended(state: State, data: Data) -> jax.Array:
  first, end = (data.starts[state.session + i] for i in (0, 1))
  return first + state.time >= end


def one_hot(spec: types.FeatureSpec, largest: int = 64) -> Encode:
  """Makes an `encode` without parameters: one-hots, counts and numbers.

  Examples:
    >>> spec = types.FeatureSpec((3,), ((4, 2),), numeric=1, num_tasks=1)
    >>> row = types.Inputs(*map(jnp.array, ([2], [1, -1], [0.5])))
    >>> one_hot(spec)(row).tolist()
    [0.0, 0.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.5]

  Args:
    spec: the data's fields.
    largest: fields with a larger vocabulary are left out, such as ids.

  Returns:
    encode(inputs of one row) -> f32[D]: a one-hot per categorical field, per
    multi-valued field how often it has each value, then the numeric fields, 0
    where they are missing.
  """

  def encode(inputs: types.Inputs) -> jax.Array:
    parts, at = [], 0
    for f, size in enumerate(spec.categorical):
      if size <= largest:
        parts.append(jax.nn.one_hot(inputs.categorical[f], size))
    for size, width in spec.multi_valued:
      if size <= largest:  # an unused slot, -1, is no value's
        values = inputs.multi_valued[at : at + width]
        parts.append(jax.nn.one_hot(values, size).sum(0))
      at += width
    parts.append(jnp.nan_to_num(jnp.asarray(inputs.numeric, jnp.float32)))
    return jnp.concatenate(parts)

  return encode


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
) -> Any:
  """Makes a Gymnasium environment of prepared sessions.

  Args:
    data_dir: as for `make`.
    split: likewise.
    encode: likewise.

  Returns:
    A `gymnasium.Env`; see `rmtl_jax/environment/gym.py`.

  Raises:
    types.InputError: Gymnasium is not installed, or as for `make`.
  """
  extras.require('gymnasium', 'the Gymnasium environment')
  from rmtl_jax.environment import gym

  return gym.GymnasiumSessions(make(data_dir, split, encode))

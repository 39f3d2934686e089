"""The environment against packed lanes."""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import environment
from rmtl_jax.data import batches, columns
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import rewards, targets
from rmtl_jax.updates import loop
from tests import paper, tiny

_LONGEST = 9


@functools.cache
def _data(path):
  manifest = tiny.write_prepared(path, sessions=60, longest=_LONGEST)
  return manifest, columns.read_split(path, manifest, 'train')


@pytest.fixture(scope='module')
def made(tmp_path_factory):
  path = tmp_path_factory.mktemp('environment')
  return path, *_data(path)


def _walk(env, actions):
  """All sessions from start to end: [S, steps] of what a step gives."""

  def step(carry, _):
    state, ended = carry
    row = env.data.starts[state.session] + state.time
    action = jnp.asarray(actions).at[row].get(mode='clip')
    observation, state, reward, now_ended, info = env.step(
      state, action, env.data
    )
    found = (observation, reward, now_ended, info, ~ended)
    return (state, now_ended), found

  def one(session):
    first, state = env.reset(session, env.data)
    carry = (state, jnp.bool_(False))
    return first, jax.lax.scan(step, carry, length=_LONGEST)[1]

  sessions = len(env.data.starts) - 1
  return jax.device_get(jax.jit(jax.vmap(one))(jnp.arange(sessions)))


def test_transitions_and_returns_are_those_of_packed_lanes(made):
  path, _, rows = made
  env = environment.make(path)
  shape, gamma = rows.labels.shape, 0.9
  actions = np.random.default_rng(0).random(shape).astype(np.float32)
  first, (seen, summed, terminated, info, valid) = _walk(env, actions)
  assert int(valid.sum()) == rows.rows  # every row once

  def by_row(values):
    found = np.empty((rows.rows, *values.shape[2:]), values.dtype)
    found[info['row'][valid]] = values[valid]
    return found

  # The same rows in lanes, shuffled and packed as stage 2 packs them.
  config = paper.batch(lanes=4, lane_length=16)
  plan = batches.Epoch(rows.starts, (7, 1), 0, config).plan
  slots = loop.Slots(*(x.reshape(-1, 16) for x in plan))
  data = loop.Columns(env.data.inputs, env.data.labels)
  batch: Any = loop.gather(data, slots)
  row, mask = np.asarray(slots.row), np.asarray(batch.mask)
  lane_rewards = rewards.log_likelihood(
    actions[np.maximum(row, 0)], np.asarray(batch.labels)
  )
  rewards_of_rows = by_row(info['rewards'])
  np.testing.assert_allclose(
    rewards_of_rows[row[mask]], np.asarray(lane_rewards)[mask], rtol=1e-6
  )
  np.testing.assert_allclose(by_row(summed), rewards_of_rows.sum(1), rtol=1e-6)
  ends = by_row(terminated)
  np.testing.assert_array_equal(ends[row[mask]], batch.is_last[mask])
  assert not info['rewards'][~valid].any()
  # The state after slot t is slot t + 1, where the session goes on.
  on = np.asarray(jax.vmap(targets.goes_on)(batch.segment)) & mask
  for kind, values in seen.items():
    lanes = np.asarray(getattr(batch.inputs, kind))
    after = np.concatenate([lanes[:, 1:], lanes[:, :1]], axis=1)
    np.testing.assert_array_equal(by_row(values)[row[on]], after[on])
    np.testing.assert_array_equal(
      first[kind], np.asarray(getattr(data.inputs, kind))[rows.starts[:-1]]
    )
  # Returns: those of critic statistics, and a fixed point of lanes' targets.
  scale = gamma ** np.arange(_LONGEST)
  from_start = (info['rewards'] * scale[:, None] * valid[..., None]).sum(1)
  returns = critic_statistics.discounted_returns(
    rewards_of_rows, rows.session, gamma
  )
  np.testing.assert_allclose(from_start, returns[rows.starts[:-1]], rtol=1e-5)
  g = returns.astype(np.float32)[np.maximum(row, 0)]
  target = jax.vmap(targets.lane_targets, (0, 0, 0, None))(
    jnp.asarray(lane_rewards), jnp.asarray(g), batch.is_last, gamma
  )
  has_target = mask & np.asarray(
    jax.vmap(targets.td_mask)(batch.mask, batch.is_last, batch.segment)
  )
  assert has_target.sum() == rows.rows
  np.testing.assert_allclose(target[has_target], g[has_target], rtol=1e-5)

"""The steps and row maps where networks read the session so far."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.data import batches
from rmtl_jax.updates import forward, loop
from tests.updates import problem, reference

ROWS = problem.columns()
STARTS = np.cumsum([0, *problem.LENGTHS])
ENCODERS = ('mean', 'target_attention')


def in_order(row_map, params, plan):
  """The map's values of every row, f32[R, K]."""
  plan = loop.Slots(*plan)
  out = row_map(params, ROWS, (), plan, np.int32(len(plan.row)))
  values = np.full((problem.ROWS, 2), np.nan)
  values[plan.row[plan.row >= 0]] = np.asarray(out)[plan.row >= 0]
  return values


@pytest.mark.parametrize('encoder', ENCODERS)
def test_rows_are_scored_alike_wherever_their_session_is_packed(encoder):
  network = problem.actor(session_encoder=encoder)
  params = problem.actor_params(network)
  row_map = loop.make_row_map(
    lambda params, batch: forward.policy(network, params, batch.inputs)
  )
  # Lanes of 22 slots cut no session; evaluation's plan and a training one.
  config = config_lib.BatchConfig(lanes=4, lane_length=22)
  evaluated = in_order(row_map, params, batches.ordered_plan(STARTS, config))
  trained = batches.Epoch(STARTS, (3,), 1, config).plan
  np.testing.assert_allclose(
    in_order(row_map, params, trained), evaluated, rtol=1e-5, atol=1e-6
  )
  problem.assert_varies(np.log(evaluated / (1 - evaluated)))
  # A session that is cut at 6 is two: the second begins anew.
  short = config_lib.BatchConfig(lanes=14, lane_length=problem.LANE_LENGTH)
  cut = in_order(row_map, params, batches.ordered_plan(STARTS, short))
  pieces = reference.pieces(problem.LENGTHS, problem.LANE_LENGTH)
  starts = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
  np.testing.assert_allclose(
    in_order(row_map, params, batches.ordered_plan(starts, config)),
    cut,
    rtol=1e-5,
    atol=1e-6,
  )
  assert np.abs(cut - evaluated).max() > 1e-3


@pytest.mark.parametrize('encoder', ENCODERS)
def test_actor_and_critics_learn_to_encode(encoder):
  actor = problem.actor(session_encoder=encoder, first_layer='distinct')
  critic = problem.critic(session_encoder=encoder)
  full = problem.two_steps(actor, critic, ROWS)
  for gradient in (full.actor.opt_state, full.critic.opt_state):
    problem.assert_finite(gradient)
    own = gradient['first'].get('session', {})
    assert own or encoder == 'mean'
    problem.assert_all_moved(own, jax.tree.map(jnp.zeros_like, own))
    # Every number of the encoding counts in the first layer.
    assert np.abs(gradient['first']['kernel'][-1]).max(axis=1).min() > 0

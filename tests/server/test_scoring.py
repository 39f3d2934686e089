"""Requests of one batch don't spoil each other."""

from __future__ import annotations

import types as types_lib

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import types
from rmtl_jax.server import bodies, scoring
from rmtl_jax.serving import notes


@pytest.fixture
def score(monkeypatch):
  """Scores eight requests, the fourth by a function of one's own."""
  calls = []

  def run(fail):
    def encode(scorer, keeper, tables, notes):
      calls.append([len(table) - 1 for table in tables])
      if 3 in calls[-1]:
        fail()
      inputs = types.Inputs(np.zeros((sum(map(len, tables)), 1)), None, None)
      return scoring._Encoded(inputs, [])

    monkeypatch.setattr(scoring, '_encode', encode)
    monkeypatch.setattr(
      scoring,
      '_infer',
      lambda model, encoded: [one.inputs.categorical for one in encoded],
    )
    tables = [pa.table({'a': [n] * (n + 1)}) for n in range(8)]
    model = types_lib.SimpleNamespace(scorer=None)
    return scoring.score(model, None, tables, notes.Notes()), calls

  return run


def test_a_fault_that_nobody_expects(score):
  def fail():
    raise KeyError('x')

  found, calls = score(fail)
  assert isinstance(found.pop(3), KeyError)
  assert [len(answer.values) for answer in found] == [1, 2, 3, 5, 6, 7, 8]
  # By halves, not one by one.
  assert len(calls) == 7


def test_a_state_that_is_not_there_is_asked_once(score):
  def fail():
    raise bodies.Refused('state: not available', 503)

  found, calls = score(fail)
  assert [error.status for error in found] == [503] * 8
  assert calls == [list(range(8))]


def test_as_of_features_without_a_state_are_told():
  needs = types_lib.SimpleNamespace(columns=('asof_gap',), sessions=False)
  scorer = types_lib.SimpleNamespace(
    needs=needs, with_slates=lambda table, path: table
  )
  model = types_lib.SimpleNamespace(scorer=scorer)
  (found,) = scoring.score(model, None, [pa.table({'a': [1]})], notes.Notes())
  assert isinstance(found, types.InputError)
  assert 'start the server with --state, or give all' in str(found)
  assert '(asof_gap)' in str(found)

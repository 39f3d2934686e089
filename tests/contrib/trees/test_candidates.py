"""Columns and forms of the trees that a task may have."""

import dataclasses

from rmtl_jax import types
from rmtl_jax.contrib.trees import candidates, features, forms, oblivious

# User, segment, brand; tags, seen.
SPEC = types.FeatureSpec(
  (400, 5, 5), ((4, 2), (900, 2)), numeric=1, num_tasks=2
)
FIELDS = candidates.TreeFields(((1, 2), (0, 2)), (1, 2))


def places(found):
  """Of all columns, those that each candidate may ask of."""
  behind = found.places[len(found.limits[0].columns) :]
  return [
    [*found.places[one.columns[: one.allowed]], *behind] for one in found.limits
  ]


def test_ids_are_a_candidate_of_their_own():
  spec = types.FeatureSpec((300, 3), (), numeric=1, num_tasks=2)
  nothing = candidates.TreeFields()
  found = candidates.by_rates(spec, nothing)
  assert found.form == oblivious.Oblivious()
  assert places(found) == [[0, 3, 4], [*range(5)], [0, 3, 4]]
  assert found.worth == [0, 0.005, 0.01]
  alone = types.FeatureSpec((300,), (), 0, 1)
  assert places(candidates.by_rates(alone, nothing)) == [[0]]
  assert candidates.by_categories(spec, nothing) is None
  assert len(candidates.by_form(spec, nothing)) == 1


def test_rates_are_without_pairs_and_ids_first():
  """Price; user, segment, brand, tags, seen; segment-brand and user-brand."""
  plain = [0, 3, 4, 5, 6, 7, 8]
  assert places(candidates.by_rates(SPEC, FIELDS)) == [
    plain,
    [*plain, 11, 12],
    [*range(11)],
    [*range(15)],
    plain,
  ]
  # Nothing but ids, and pairs of these.
  spec = dataclasses.replace(SPEC, categorical=(400, 400, 5), numeric=0)
  fields = candidates.TreeFields(((0, 2), (1, 2)))
  found = candidates.by_rates(spec, fields)
  assert [one.allowed for one in found.limits] == [4, 10, 14, 4]


def test_categories_are_behind_all_rates():
  """Price, tags and the pair segment-brand; then without the pair."""
  found = candidates.by_categories(SPEC, FIELDS)
  assert features.count_columns(SPEC, FIELDS.pairs) == 15
  assert places(found) == [
    [0, 7, 8, 11, 12, 15, 16],
    [0, 7, 8, 15, 16],
  ]
  first, other = found.limits
  assert (first.sampled, other.sampled) == (3, 2)
  assert first.l2 == forms.L2 > other.l2
  assert first.least == forms.LEAST > other.least


def test_small_leaves_are_the_last_of_either_form():
  fields = candidates.TreeFields(((0, 2),), (1, 2))
  for found in candidates.by_form(SPEC, fields):
    *others, last = found.limits
    assert {one.l2 for one in others} == {forms.L2} and last.l2 < forms.L2
    assert {one.least for one in others} == {forms.LEAST}
    assert last.least < forms.LEAST
    assert last.allowed == others[0].allowed

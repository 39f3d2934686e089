"""Which trees each task has, of those that were grown."""

import numpy as np

from rmtl_jax.contrib.trees import boosting, candidates, growing, oblivious

DRAW = np.random.default_rng(0)
LABELS = (DRAW.random((3, 5000)) < 0.5).astype(np.float32)
ROWS = boosting.Rows(None, LABELS, np.ones_like(LABELS))
RIGHT, NOTHING = 2 * LABELS - 1, np.zeros_like(LABELS)


def grown(logits, rounds=1, trees=None, losses=None):
  """Of three tasks."""
  if losses is None:
    losses = boosting.losses(logits, ROWS)
  return boosting.Grown(trees, np.full(3, rounds), np.array(losses), logits)


def of_tasks(*rows):
  """Each task's row, of logits of all."""
  return np.stack([one[k] for k, one in enumerate(rows)])


def test_each_task_takes_ids_where_they_are_worth_it():
  """With ids task 2 saves too little, and task 3 loses."""
  plain = grown(NOTHING, 3, losses=[2.0, 2.0, 1.0])
  with_ids = grown(RIGHT, 5, losses=[1.98, 1.995, 2.0])
  (found,) = growing._chosen([[plain, with_ids]], [(0, 0.005)], ROWS)
  np.testing.assert_array_equal(found.candidate, [1, 0, 0])
  np.testing.assert_array_equal(found.rounds, [5, 3, 3])
  np.testing.assert_array_equal(found.share, 1)


def test_a_form_counts_alone_where_it_is_clearly_better():
  """Task 1: the first alone; task 2: the other; task 3: they say the same."""
  first = grown(of_tasks(RIGHT, NOTHING, RIGHT))
  other = grown(of_tasks(NOTHING, RIGHT, RIGHT))
  found = growing._chosen([[first], [other]], [(0,), (0,)], ROWS)
  np.testing.assert_array_equal(found[0].share, [1, 0, 0.5])
  np.testing.assert_array_equal(found[1].share, [0, 1, 0.5])


def test_trees_without_pairs_are_taken_where_they_are_clearly_better():
  """Task 1: less than 1 %; task 2: without pairs; task 3: with these."""
  first = grown(of_tasks(0.5 * RIGHT, NOTHING, RIGHT))
  with_pairs = grown(of_tasks(0.5 * RIGHT, NOTHING, RIGHT), 2)
  without = grown(of_tasks(0.51 * RIGHT, RIGHT, NOTHING), 4)
  found = [[first], [with_pairs, without]]
  rates, categories = growing._chosen(found, [(0,), (0, 0.01)], ROWS)
  np.testing.assert_array_equal(categories.candidate, [0, 1, 0])
  np.testing.assert_array_equal(categories.rounds, [2, 4, 2])
  np.testing.assert_array_equal(categories.share, [0.5, 1, 0.5])
  np.testing.assert_array_equal(rates.share, [0.5, 0, 0.5])
  np.testing.assert_array_equal(rates.candidate, 0)


def test_only_rounds_that_count_are_grown_again(monkeypatch):
  """Task 1 has the first candidate, tasks 2 and 3 the third; 2 counts none."""
  monkeypatch.setattr(boosting, 'boost_again', lambda *args: args[1::2])
  of = candidates.Candidates(oblivious.Oblivious(), np.arange(3), 'abc', ())
  choice = growing._Choice(
    np.array([0, 2, 2]), np.array([5, 7, 3]), np.array([1.0, 0.0, 0.5])
  )
  left = iter(range(4))
  found = growing._grown_again(ROWS, of, choice, 80, 0, left)
  limits, rounds, seed = found[0]
  assert limits == 'a' and [*rounds] == [5, 0, 0] and seed == 0
  assert found[1] is None
  assert found[2][0] == 'c' and [*found[2][1]] == [0, 0, 3]
  # Of the next form.
  assert next(left) == 3


def test_trees_of_tasks_ask_of_columns_among_all():
  of = candidates.Candidates(
    oblivious.Oblivious(), np.array([0, 3, 4, 6]), (), ()
  )
  trees = [
    oblivious.ObliviousTrees(
      np.full((3, 1, 5), last), *(np.full((3, 1, 5), float(last)),) * 2
    )
    for last in (2, 3)
  ]
  choice = growing._Choice(
    np.array([1, 0, 0]), np.array([5, 3, 3]), np.array([1.0, 0.5, 0.0])
  )
  found = growing._of_tasks(of, trees, choice)
  np.testing.assert_array_equal(found.columns[:, 0, 0], [6, 4, 4])
  np.testing.assert_array_equal(found.last[:, 0, 0], [3, 2, 2])
  np.testing.assert_array_equal(found.leaves[:, 0, 0], [3, 1, 0])

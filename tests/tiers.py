"""Which entries of a table of tests the default tier takes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any

import hypothesis
import pytest


def some(entries: Iterable[Any], quick: Collection[Any]) -> list[Any]:
  """All entries of a table; those that are not quick run with `-m slow`.

  Args:
    entries: what `pytest.mark.parametrize` gets: values, or tuples of values.
    quick: entries that plain `pytest` runs.

  Raises:
    ValueError: A quick entry is not in the table.
  """
  entries = list(entries)
  if missing := [one for one in quick if one not in entries]:
    raise ValueError(f'not in the table: {missing}')
  return [
    one
    if one in quick
    else pytest.param(
      *(one if isinstance(one, tuple) else (one,)), marks=pytest.mark.slow
    )
    for one in entries
  ]


def examples(quick: int, full: int) -> list[Any]:
  """Numbers of examples of a property: few by default, all with `-m slow`."""
  return some((quick, full), (quick,))


def check(
  holds: Callable[..., None],
  examples: int,
  *strategies: Any,
  **fixtures: Any,
) -> None:
  """Checks a property on so many examples.

  Args:
    holds: asserts the property; fixtures come first, then what is drawn.
    examples: how many.
    strategies: of the arguments that are drawn, in order.
    fixtures: the other arguments.
  """
  settings = hypothesis.settings(max_examples=examples, deadline=None)
  settings(hypothesis.given(*strategies)(holds))(**fixtures)

"""Predictions of several requests in one call of the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.server import bodies, models
from rmtl_jax.server.state import lanes
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import rows as rows_lib
from rmtl_jax.serving import scorer as scorer_lib


class Pasts(Protocol):
  """What computes the past of rows (rmtl_jax.server.state)."""

  def look_up(
    self, scorer: scorer_lib.Scorer, rows: rows_lib.Rows
  ) -> tuple[pa.Table, list[lanes.Earlier]]:
    """As-of columns of rows, and their sessions if the model reads them."""
    ...


class Answer(NamedTuple):
  """Predictions for the rows of a request.

  Attributes:
    values: f32[R, K].
    model: by which they were made.
  """

  values: np.ndarray
  model: models.Served


def score(
  model: models.Served,
  pasts: Pasts | None,
  tables: Sequence[pa.Table],
  notes: notes_lib.Notes,
) -> list[Answer | Exception]:
  """Predicts for the rows of several requests.

  Args:
    model: what predicts.
    pasts: the state; None for none, as-of features are columns then.
    tables: the rows of each request.
    notes: counts values.

  Returns:
    The answer to each request, or what it is refused with.
  """
  found: dict[int, Answer | Exception] = {}
  encoded: list[_Encoded] = []
  waiting = bodies.alike(tables)
  while waiting:
    numbers = waiting.pop()
    try:
      parts = [tables[n] for n in numbers]
      encoded.append(_encode(model.scorer, pasts, parts, numbers, notes))
    # The state can't be read now, which would take as long for each of them.
    except bodies.Refused as error:
      found |= dict.fromkeys(numbers, error)
    # Even what nobody expects is the fault of one request, and of no other.
    except Exception as error:
      if len(numbers) == 1:
        found[numbers[0]] = error
      else:  # whose fault it is, and in which of its rows
        waiting += bodies.halves(numbers)
  values = _infer(model, encoded)
  for one, of_group in zip(encoded, values, strict=True):
    ends = np.cumsum([len(tables[n]) for n in one.numbers])
    parts = np.split(of_group, ends[:-1])
    found |= {
      n: Answer(part, model) for n, part in zip(one.numbers, parts, strict=True)
    }
  return [found[n] for n in range(len(tables))]


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """Requests' inputs, and for an encoder of sessions what came before."""

  inputs: types.Inputs
  sessions: Sequence[lanes.Earlier]
  numbers: Sequence[int]

  def __len__(self) -> int:
    return len(self.inputs.categorical)


def _encode(
  scorer: scorer_lib.Scorer,
  pasts: Pasts | None,
  tables: Sequence[pa.Table],
  numbers: Sequence[int],
  notes: notes_lib.Notes,
) -> _Encoded:
  """Encodes the rows of some requests.

  Raises:
    types.InputError: a column or a value that can't be used.
  """
  # Rows of different requests were not shown together.
  tables = [scorer.with_slates(table, bodies.WHERE) for table in tables]
  table = pa.concat_tables(tables)
  rows = rows_lib.rows_of_table(table, bodies.WHERE)
  needs, sessions = scorer.needs, []
  if pasts is None or not needs:
    if needs.sessions:
      raise types.InputError(
        'server: the model reads sessions; start it with --state'
      )
    scorer.encoder.check(rows.schema, rows.path)
  else:
    given = next((n for n in needs.columns if n in rows.schema.names), None)
    if given is not None:
      raise types.InputError(
        f'{bodies.WHERE}: column {given!r} is there already, and is computed'
        ' from the state; leave it out'
      )
    scorer.encoder.check(rows.schema, rows.path, needs.columns)
    past, sessions = pasts.look_up(scorer, rows)
    table = scorer_lib.with_columns(table, past)
  chunk = rows_lib.Chunk(table, rows.path, range(1, table.num_rows + 1))
  return _Encoded(scorer.encoder.encode(chunk, notes), sessions, numbers)


def _infer(
  model: models.Served, encoded: Sequence[_Encoded]
) -> list[np.ndarray]:
  """Predictions for each group of requests."""
  if not encoded:
    return []
  scorer = model.scorer
  parts = [one.inputs for one in encoded]
  inputs = types.Inputs(
    *(np.concatenate([np.asarray(part[i]) for part in parts]) for i in range(3))
  )
  ends = np.cumsum([len(one) for one in encoded])
  if scorer.needs.sessions:
    earlier = [one for part in encoded for one in part.sessions]
    values = lanes.infer(scorer, inputs, earlier, model.most)
  else:
    values = scorer.infer(inputs, np.array([0, ends[-1]]))
  return np.split(values, ends[:-1])

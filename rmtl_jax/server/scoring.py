"""Predictions of several requests in one call of the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Protocol

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


@dataclasses.dataclass(frozen=True)
class Answer:
  """Predictions for the rows of a request.

  Attributes:
    values: f32[R, K].
    model: by which they were made.
    warnings: lines for a person.
    notes: counts of values.
  """

  values: np.ndarray
  model: models.Served
  warnings: list[str]
  notes: notes_lib.Notes


def score(
  model: models.Served, pasts: Pasts | None, tables: Sequence[pa.Table]
) -> list[Answer | Exception]:
  """Predicts for the rows of several requests.

  Args:
    model: what predicts.
    pasts: the state; None for none, as-of features are columns then.
    tables: the rows of each request.

  Returns:
    The answer to each request, or what it is refused with.
  """
  encoded: list[_Encoded | Exception] = []
  for table in tables:
    try:
      encoded.append(_encode(model.scorer, pasts, table))
    except types.InputError as error:
      encoded.append(error)
  good = [one for one in encoded if isinstance(one, _Encoded)]
  found = iter(_infer(model, good))
  return [
    Answer(next(found), model, one.notes.warnings(), one.notes)
    if isinstance(one, _Encoded)
    else one
    for one in encoded
  ]


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """A request's inputs, and for an encoder of sessions what came before."""

  inputs: types.Inputs
  sessions: Sequence[lanes.Earlier]
  notes: notes_lib.Notes

  def __len__(self) -> int:
    return len(self.inputs.categorical)


def _encode(
  scorer: scorer_lib.Scorer, pasts: Pasts | None, table: pa.Table
) -> _Encoded:
  """Encodes a request.

  Raises:
    types.InputError: a column or a value that can't be used.
  """
  rows = rows_lib.rows_of_table(table, bodies.WHERE)
  notes = notes_lib.Notes()
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
    for name in past.column_names:
      table = table.append_column(name, past[name])
  chunk = rows_lib.Chunk(table, rows.path, range(1, table.num_rows + 1))
  return _Encoded(scorer.encoder.encode(chunk, notes), sessions, notes)


def _infer(
  model: models.Served, encoded: Sequence[_Encoded]
) -> list[np.ndarray]:
  """Predictions for each request."""
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

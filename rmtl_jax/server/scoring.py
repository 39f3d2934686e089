"""Predictions of several requests in one call of the network."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.server import bodies, loading
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.server.state import lanes
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import raw_rows
from rmtl_jax.serving import scorer as scorer_lib


class Answer(NamedTuple):
  """Predictions for the rows of a request.

  Attributes:
    values: f32[R, K].
    model: by which they were made.
  """

  values: np.ndarray
  model: loading.Served


def score(
  model: loading.Served,
  keeper: keeper_lib.Keeper | None,
  tables: Sequence[pa.Table],
  notes: notes_lib.Notes,
) -> list[Answer | Exception]:
  """Predicts for the rows of several requests, or returns the error of each.

  Args:
    keeper: the state; None for none, as-of features are columns then.
  """
  done, faults = bodies.work_together(
    tables,
    lambda numbers: _encode(
      model.scorer, keeper, [tables[n] for n in numbers], notes
    ),
  )
  found: dict[int, Answer | Exception] = {**faults}
  values = _infer(model, [encoded for _, encoded in done])
  for (numbers, _), of_group in zip(done, values, strict=True):
    ends = np.cumsum([len(tables[n]) for n in numbers])
    parts = np.split(of_group, ends[:-1])
    found |= {
      n: Answer(part, model) for n, part in zip(numbers, parts, strict=True)
    }
  return [found[n] for n in range(len(tables))]


@dataclasses.dataclass(frozen=True)
class _Encoded:
  """Requests' inputs, and for an encoder of sessions what came before."""

  inputs: types.Inputs
  sessions: Sequence[lanes.Earlier]

  def __len__(self) -> int:
    return len(self.inputs.categorical)


def _encode(
  scorer: scorer_lib.Scorer,
  keeper: keeper_lib.Keeper | None,
  tables: Sequence[pa.Table],
  notes: notes_lib.Notes,
) -> _Encoded:
  """Encodes the rows of some requests."""
  # Rows of different requests were not shown together.
  tables = [scorer.with_slates(table, bodies.WHERE) for table in tables]
  table = pa.concat_tables(tables)
  rows = raw_rows.rows_of_table(table, bodies.WHERE)
  needs, sessions = scorer.needs, []
  if keeper is None or not needs:
    if needs.sessions:
      raise types.InputError(
        'server: the model reads sessions; start it with --state'
      )
    if needs.columns and not {*needs.columns} & {*rows.schema.names}:
      raise types.InputError(
        f'{bodies.WHERE}: the model has as-of features, which take the past:'
        ' start the server with --state, or give all of them as columns'
        f' ({", ".join(needs.columns)})'
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
    past, sessions = keeper.look_up(scorer, rows)
    table = scorer_lib.with_columns(table, past)
  chunk = raw_rows.Chunk(table, rows.path, range(1, table.num_rows + 1))
  return _Encoded(scorer.encoder.encode(chunk, notes), sessions)


def _infer(
  model: loading.Served, encoded: Sequence[_Encoded]
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

"""Predictions for the rows of a request."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.server import bodies
from rmtl_jax.server.state import keeper as keeper_lib
from rmtl_jax.serving import notes as notes_lib
from rmtl_jax.serving import raw_rows
from rmtl_jax.serving import scorer as scorer_lib


def score(
  scorer: scorer_lib.Scorer,
  keeper: keeper_lib.Keeper | None,
  table: pa.Table,
  notes: notes_lib.Notes,
) -> np.ndarray:
  """Predictions for candidates, which don't see each other, f32[R, K].

  Args:
    keeper: the state; None for none, as-of features are columns then.
    table: R rows that are shown together.

  Raises:
    types.InputError: a column or a value that can't be used.
  """
  table = scorer.with_slates(table, bodies.WHERE)
  names, needs = table.column_names, scorer.needs
  if keeper is None or not needs:
    if needs.columns and not {*needs.columns} & {*names}:
      raise types.InputError(
        f'{bodies.WHERE}: the model has as-of features, which take the past:'
        ' start the server with --state, or give all of them as columns'
        f' ({", ".join(needs.columns)})'
      )
    scorer.encoder.check(table.schema, bodies.WHERE)
  else:
    needs.check_absent(names, bodies.WHERE, 'state')
    scorer.encoder.check(table.schema, bodies.WHERE, needs.columns)
    past = keeper.look_up(raw_rows.rows_of_table(table, bodies.WHERE))
    table = scorer_lib.with_columns(table, past)
  lines = range(1, table.num_rows + 1)
  chunk = raw_rows.Chunk(table, bodies.WHERE, lines)
  return scorer.infer(scorer.encoder.encode(chunk, notes))

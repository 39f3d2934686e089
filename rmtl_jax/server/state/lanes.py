"""Rows of a model that encodes the session: each behind what came before it.

Rows to predict for don't see each other, so rows of one session and time share
the earlier rows of one lane, and those that don't fit get them again.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import batches
from rmtl_jax.serving import scorer as scorer_lib
from rmtl_jax.serving import sizes


class Earlier(NamedTuple):
  """The earlier rows of a session, shared by its rows of one time.

  Those from the last cut on; see `find_cut`.

  Attributes:
    times: ms, in order.
    items: rows of the vocabulary.
  """

  times: np.ndarray
  items: Sequence[int]


@dataclasses.dataclass(frozen=True)
class _Piece:
  """Slots of one lane: earlier rows, then rows to predict for."""

  times: np.ndarray
  items: np.ndarray
  own: Sequence[int]

  def __len__(self) -> int:
    return len(self.times) + len(self.own)


def infer(
  scorer: scorer_lib.Scorer,
  inputs: types.Inputs,
  earlier: Sequence[Earlier],
  most: int,
) -> np.ndarray:
  """Predictions of a model that encodes sessions, f32[R, K].

  Args:
    inputs: of R rows.
    earlier: what came before each of them; one object for rows that share it.
    most: rows that its programs are compiled for.
  """
  found = np.zeros((len(earlier), len(scorer.tasks)), np.float32)
  item = scorer.spec.item
  for pieces in _calls(_pieces(earlier, scorer.lane_length), scorer, most):
    own, items, time = map(
      np.concatenate, zip(*map(_slots, pieces), strict=True)
    )
    columns = [
      np.where((own >= 0)[:, None], np.asarray(inputs[i])[own], 0)
      for i in range(3)
    ]
    # Encoders of the session read nothing but the item of earlier rows.
    columns[0][own < 0, item] = items[own < 0]
    starts = np.cumsum([0, *map(len, pieces)])
    values = scorer.infer(
      types.Inputs(*columns, time=np.cumsum(time, dtype=np.int32)), starts
    )
    found[own[own >= 0]] = values[own >= 0]
  return found


def _pieces(earlier: Sequence[Earlier], length: int) -> Iterator[_Piece]:
  """Rows to predict for behind what came before them, in lanes."""
  numbered = sorted(range(len(earlier)), key=lambda row: id(earlier[row]))
  for _, group in itertools.groupby(numbered, lambda row: id(earlier[row])):
    rows = list(group)
    times, items = (np.asarray(x, np.int64) for x in earlier[rows[0]])
    room = length - len(times)
    for start in range(0, len(rows), room):
      yield _Piece(times, items, rows[start : start + room])


def find_cut(times: np.ndarray, length: int) -> int:
  """The first earlier row that a row sees, as training cuts sessions.

  Args:
    times: of all earlier rows of the row's session, in order.
    length: of a lane.
  """
  # The row itself is later than all of them.
  begins = np.append(_begins(times), True)
  return int(max([0, *batches.find_session_cuts(begins, length)]))


def _begins(times: np.ndarray) -> np.ndarray:
  """Whether a row is the first of its time."""
  return np.concatenate([[True], np.diff(times) != 0])[: len(times)]


def _slots(piece: _Piece) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """A piece's rows of the inputs (-1: earlier), items, and new times."""
  count = len(piece.times)
  own = np.concatenate([np.full(count, -1), piece.own]).astype(np.int64)
  items = np.concatenate([piece.items, np.zeros(len(piece.own), np.int64)])
  begins = np.zeros(len(piece), bool)
  begins[:count] = _begins(piece.times)
  begins[count] = True
  begins[0] = True
  return own, items, begins


def _calls(
  pieces: Iterator[_Piece], scorer: scorer_lib.Scorer, most: int
) -> Iterator[list[_Piece]]:
  """Groups pieces that fit the lanes which programs are compiled for."""
  length = scorer.lane_length
  lanes = sizes.lanes_of(min(most, scorer.chunk_rows))[-1]
  # Lanes are filled one after the other, so any two neighbours hold more than
  # one lane's slots.
  slots = max(length, min(sizes.MOST_ROWS, (lanes - 1) * length // 2))
  held: list[_Piece] = []
  count = 0
  for piece in pieces:
    if held and count + len(piece) > slots:
      yield held
      held, count = [], 0
    held.append(piece)
    count += len(piece)
  if held:
    yield held

"""Checks sessions of prepared data: sorted, whole, within their split."""

from __future__ import annotations

import collections
import dataclasses
import itertools
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.contract import columns as contract_columns


@dataclasses.dataclass
class SplitCounts:
  """Limits of the rows of one split, and counts over those so far.

  Attributes:
    min_start: earliest allowed start of a session, ms.
    end: end of the split, ms; rows lie before it.
    delay_ms: delay of the first label after its row, which lies before `end`
      too.
    rows: their number.
    sessions: their number.
    positives: rows with label 1, per task.
    observed: rows with a weight above 0, per weighted task.
    first_session: id of the first session.
    last: session id, step and timestamp of the last row; None before it.
    last_file: the file of that row.
    first_time: earliest row, ms.
  """

  min_start: int | None
  end: int | None
  delay_ms: int
  rows: int = 0
  sessions: int = 0
  positives: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  observed: collections.Counter[str] = dataclasses.field(
    default_factory=collections.Counter
  )
  first_session: int = 0
  last: tuple[int, int, int] | None = None
  last_file: pathlib.Path = pathlib.Path()
  first_time: int = 2**63 - 1


def check_rows(
  values: contract_columns.BatchColumns, totals: SplitCounts
) -> None:
  """Checks the sessions of some rows, and adds them to the totals.

  Args:
    values: at least one row.
    totals: of the rows before.

  Raises:
    types.InputError: sessions out of order or in several pieces or files, steps
      that don't count from 0, times that fall within a session or lie outside
      the split.
  """
  session = values.integers('session_id')
  step = values.integers('step')
  time = values.integers('timestamp')
  goes_on = _check_order(values, session, totals)
  begins = np.append(not goes_on, session[1:] != session[:-1])
  _, last_step, last_time = totals.last or (0, 0, 0)
  expected_step = np.where(begins, 0, np.append(last_step, step[:-1]) + 1)
  wrong = step != expected_step
  if wrong.any():
    row = int(np.argmax(wrong))
    values.fail(
      'step', row, f'is {step[row]}', f'{expected_step[row]}, counted from 0'
    )
  values.require(
    begins | (time >= np.append(last_time, time[:-1])),
    'timestamp',
    'is earlier than in the row before',
    'rows of a session in the order of time',
  )
  _check_times(values, time, begins, totals)
  if totals.last is None:
    totals.first_session = int(session[0])
  totals.sessions += int(np.count_nonzero(begins))
  totals.last = int(session[-1]), int(step[-1]), int(time[-1])
  totals.first_time = min(totals.first_time, int(time.min()))


def _check_order(
  values: contract_columns.BatchColumns,
  session: np.ndarray,
  totals: SplitCounts,
) -> bool:
  """Whether the first row continues the previous session."""
  last = None if totals.last is None else totals.last[0]
  falls = session < np.append(
    session[0] if last is None else last, session[:-1]
  )
  values.require(
    ~falls,
    'session_id',
    'is less than in the row before',
    'sessions in order, each in one piece',
  )
  if last != session[0]:
    return False
  if values.path != totals.last_file:
    values.fail(
      'session_id',
      0,
      f'session {last} began in {totals.last_file.name}',
      'all rows of a session in one file',
    )
  return True


def _check_times(
  values: contract_columns.BatchColumns,
  time: np.ndarray,
  begins: np.ndarray,
  limits: SplitCounts,
) -> None:
  end, delay_ms, min_start = limits.end, limits.delay_ms, limits.min_start
  if end is not None:
    values.require(
      time < end,
      'timestamp',
      "is not before its split's end",
      f'less than {end}',
    )
    values.require(
      time < end - delay_ms,
      'timestamp',
      "has no label that is known at its split's end",
      f'less than {end - delay_ms}, which is {delay_ms} ms before it',
    )
  if min_start is not None:
    values.require(
      ~begins | (time >= min_start),
      'timestamp',
      'begins a session where the split before has not ended',
      f'at least {min_start}, as sessions are split by their start',
    )


def check_disjoint(
  directory: pathlib.Path,
  manifest: manifest_lib.Manifest,
  split_counts: Mapping[str, SplitCounts],
) -> None:
  """Checks that no session is in two splits.

  Raises:
    types.InputError: names such a session and its splits.
  """
  for one, other in itertools.combinations(split_counts, 2):
    a, b = split_counts[one], split_counts[other]
    assert a.last is not None and b.last is not None
    if a.last[0] < b.first_session or b.last[0] < a.first_session:
      continue
    shared = _first_shared(
      _session_ids(directory, manifest, one),
      _session_ids(directory, manifest, other),
    )
    if shared is not None:
      raise types.InputError(
        f"{directory}: column 'session_id': session {shared} is in {one} and"
        f' in {other}, expected it in one split'
      )


def _session_ids(
  directory: pathlib.Path, manifest: manifest_lib.Manifest, split: str
) -> Iterator[np.ndarray]:
  for name in manifest.splits[split].files:
    for batch in contract_columns.batches(directory / name, ['session_id']):
      yield batch['session_id'].to_numpy()


def _first_shared(
  ones: Iterator[np.ndarray], others: Iterator[np.ndarray]
) -> int | None:
  """A value of two ascending sequences that come in pieces, or None."""
  one, other = next(ones, None), next(others, None)
  while one is not None and other is not None:
    shared = np.intersect1d(one, other)
    if len(shared):
      return int(shared[0])
    if one[-1] < other[-1]:
      one = next(ones, None)
    else:
      other = next(others, None)
  return None

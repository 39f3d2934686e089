"""The days of a backtest: when they begin and end, and their prepared data.

Day 0 prepares the log up to its end, with the last day as test and the one
before as validation. Every later day extends the data of the day before by its
own rows, and splits move on by a day: what was validation becomes train.
"""

from __future__ import annotations

import dataclasses
import datetime
import pathlib
import re
import shutil
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest_file, parquet
from rmtl_jax.preparation import prepare as prepare_lib
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import drift
from rmtl_jax.runtime import writers

Progress = Callable[[str, float], None]

_UNITS = {'m': 60_000, 'h': 3_600_000, 'd': 86_400_000}
_DAY = _UNITS['d']


class Day(NamedTuple):
  """One step of a backtest.

  Attributes:
    number: from 0, the one that everything starts with.
    since: when it begins, ms.
    until: when it ends, ms.
  """

  number: int
  since: int
  until: int


def parse_step(text: str) -> int:
  """The length of a step, ms.

  >>> parse_step('7d') // 86_400_000
  7

  Raises:
    types.InputError: no number of days, hours or minutes.
  """
  found = re.fullmatch(r'([1-9]\d{0,5})([mhd])', text)
  if not found:
    raise types.InputError(
      f'--step: {text!r:.80} is no length of time; expected 1d, 7d, 12h or so'
    )
  return int(found[1]) * _UNITS[found[2]]


def plan(last: int, count: int, step: int) -> list[Day]:
  """Days 0 to `count`; the last one ends after the log's last row.

  Days of whole days begin at midnight (UTC).

  >>> day = 86_400_000
  >>> [one.since // day for one in plan(10 * day + 5, 2, day)]
  [8, 9, 10]

  Args:
    last: time of the last row, ms.
    count: days to evaluate on, beside day 0.
    step: length of one, ms.
  """
  end = last + 1
  if step % _DAY == 0:
    end = -(-end // _DAY) * _DAY
  return [
    Day(
      number, end - (count + 1 - number) * step, end - (count - number) * step
    )
    for number in range(count + 1)
  ]


def iso(ms: int) -> str:
  """A time as `rmtl prepare` takes it, UTC."""
  found = datetime.datetime.fromtimestamp(ms / 1000, datetime.UTC)
  return found.strftime('%Y-%m-%dT%H:%M:%S.%f')[:-3]


def _times(path: pathlib.Path) -> pa.ChunkedArray:
  """Of a file of prepared rows."""
  with parquet.open_file(path) as file:
    return file.read(['timestamp'])['timestamp']


def first_and_last_row(
  config: prepare_config.PrepareConfig,
  scratch: pathlib.Path,
  progress: Progress,
) -> tuple[int, int]:
  """The times of the log's first and last row, ms, found by preparing it.

  `scratch`, where that is done, is removed again.

  Raises:
    types.InputError: the log has no times.
  """
  shutil.rmtree(scratch, ignore_errors=True)
  whole = dataclasses.replace(config, data_dir=str(scratch), as_of=('none',))
  manifest = prepare_lib.prepare(whole, progress)
  if not manifest.has_time:
    raise types.InputError(
      f'{config.raw_dir or config.source}: has no times, so no days follow each'
      ' other'
    )
  ends = [
    pc.call_function('min_max', [_times(scratch / name)]).as_py()
    for split in manifest.splits.values()
    for name in split.files
  ]
  shutil.rmtree(scratch, ignore_errors=True)
  return min(one['min'] for one in ends), max(one['max'] for one in ends)


def check_room(first: int, last: int, count: int, step: int) -> None:
  """Refuses more days than a log has, beside day 0 and what it learns from.

  Args:
    first: time of the first row, ms.
    last: time of the last row, ms.
    count: days to evaluate on, beside day 0.
    step: length of one, ms.

  Raises:
    types.InputError: day 0 has no train rows before its validation.
  """
  day = plan(last, count, step)[0]
  if first < day.since - step:
    return
  most = count - 1 - (first - day.since + step) // step
  raise types.InputError(
    f'--days: the log is from {iso(first)} to {iso(last)}, which has no train'
    f' rows before {count} steps and the two before them; expected'
    + (f' {most} or fewer' if most > 0 else ' a shorter --step')
  )


class Data(NamedTuple):
  """The prepared data of a day.

  Attributes:
    extended: DATA, of the day before with its rows.
    at_once: DATA of the same window, prepared from the raw log.
    record: `seconds` (`extend`, `prepare`), `train_rows`, and of the test rows
      `rows`, `sessions`, `positives` and `drift`.
  """

  extended: pathlib.Path
  at_once: pathlib.Path
  record: dict[str, Any]


def prepared(
  config: prepare_config.PrepareConfig,
  day: Day,
  place: pathlib.Path,
  progress: Progress,
) -> Data:
  """The data of a day, made unless they are there.

  Vocabularies of extended data know values of the new rows; those of data that
  are prepared at once know values of train rows alone. So each arm gets data as
  a team that works that way has them. Day 0 has one form, prepared at once.

  Args:
    place: the directory of all days' data; those of the day before are in it.

  Raises:
    types.InputError: as for `rmtl prepare`, or the two have other test rows.
  """
  path, note = place / str(day.number), place / f'{day.number}.json'
  at_once = place / f'{day.number}_at_once' if day.number else path
  wanted = {'prepare': _at_once(config, day, at_once)}
  if day.number:
    wanted['extend'] = dataclasses.replace(
      config,
      data_dir=str(path),
      extend=str(place / str(day.number - 1)),
      since=iso(day.since),
      until=iso(day.until),
      split_by='rolling',
    )
  known: dict[str, Any] = {'seconds': {}}
  if note.exists():
    known = writers.read_sealed(note, 'remove it to prepare the day again')
  for name, settings in wanted.items():
    there = (pathlib.Path(settings.data_dir) / 'manifest.json').exists()
    if there and name in known['seconds']:
      continue
    # Where the process was killed before it wrote the seconds, data are there.
    settings = dataclasses.replace(settings, overwrite=there)
    begin = time.perf_counter()
    prepare_lib.prepare(settings, progress)
    seconds = time.perf_counter() - begin
    known = {'seconds': {name: seconds} | known['seconds']}
    writers.write_sealed(note, known)
  if 'rows' in known:
    return Data(path, at_once, known)
  manifest = manifest_file.read(path)
  test = manifest.splits['test']
  other = manifest_file.read(at_once).splits['test']
  if (test.rows, test.positives) != (other.rows, other.positives):
    raise types.InputError(
      f'{path}: has {test.rows} test rows, {at_once} has {other.rows}: the arms'
      ' of a backtest must be evaluated on the same'
    )
  record = known | {
    'train_rows': manifest.splits['train'].rows,
    'rows': test.rows,
    'sessions': test.sessions,
    'positives': test.positives,
    'drift': _drift(at_once),
  }
  writers.write_sealed(note, record)
  return Data(path, at_once, record)


def _at_once(
  config: prepare_config.PrepareConfig, day: Day, path: pathlib.Path
) -> prepare_config.PrepareConfig:
  """Prepares the log up to a day's end in one go."""
  step = day.until - day.since
  return dataclasses.replace(
    config,
    data_dir=str(path),
    until=iso(day.until),
    split_by='auto',
    split_dates=(iso(day.since - step), iso(day.since)),
  )


def _drift(path: pathlib.Path) -> dict[str, Any]:
  """How the test rows differ from train's.

  Returns:
    `field` and `psi` of the field that drifts most, `unseen` {user's and item's
    field: share of the test rows with a value that no train row has}.
  """
  manifest = manifest_file.read(path)
  with sql.connect() as connection:
    fields = drift.of_fields(connection, path, manifest)
  worst = max(fields, key=lambda one: one['psi']['test'])
  keys = (manifest.user_field, manifest.item_field)
  return {
    'field': worst['name'],
    'psi': worst['psi']['test'],
    'unseen': {
      one['name']: one['unseen']['test']
      for one in fields
      if one['name'] in keys
    },
  }

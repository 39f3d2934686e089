"""Panels: the same persons, firms or schools in several years or waves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from rmtl_jax.preparation.guess import facts as facts_lib
from rmtl_jax.preparation.guess import key_names, time_forms, time_names
from rmtl_jax.preparation.guess import keys as keys_lib
from rmtl_jax.preparation.guess import sample as sample_lib

# Least and most waves; least share of rows that are the only one of somebody in
# a wave, and of somebody's next rows that are of the next wave.
_WAVES, _ALONE, _NEXT = (4, 1000), 0.8, 0.5
# What somebody is or does stays: most values of a column that shows it, and its
# least agreement of somebody's rows.
_MOST_VALUES, _AGREEMENT = 50, 0.3
# A log of more values is not read whole to find its panel.
_MOST_VALUES_READ, _ROWS_IN_A_PART = 10_000_000, 1.1


class Panel(NamedTuple):
  """Rows of somebody in waves.

  Attributes:
    key: whose rows these are.
    time: the wave.
  """

  key: keys_lib.Key
  time: time_forms.Time


def needs_all(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  by_names: Mapping[str, keys_lib.Key],
) -> bool:
  """Whether a part of a log may be that of a panel, which only all rows tell.

  Args:
    facts: of the columns that may be a wave or a key.
    by_names: keys by role, of which names tell.
  """
  is_small = sample.log_rows * len(sample.names) <= _MOST_VALUES_READ
  if sample.is_whole or not (is_small and sample.of_all_files):
    return False
  return any(True for _ in _keys_in_waves(sample, facts, by_names))


def find(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  by_names: Mapping[str, keys_lib.Key],
) -> Panel | None:
  """The panel that a log is, for one in which no column tells times.

  A column is named like a year or a wave, and somebody has one row in each.
  Ids that every wave counts anew are nobody's: rows of one value stand together
  in the file, or agree in something, such as the year of birth.

  Args:
    sample: the rows; of a part of a log nothing is found.
    facts: of the columns that may be either.
    by_names: keys by role, of which names tell.
  """
  if not sample.is_whole:
    return None
  named = _named(by_names)
  best, panel = (False, 0.0, 0), None
  for one, wave, alone, follows in _keys_in_waves(sample, facts, by_names):
    rank = key_names.ends_in_id(one.name), alone, one.distinct
    if follows < _NEXT or rank <= best:
      continue
    if one.name in named or _is_somebody(facts, one, wave):
      best = rank
      panel = Panel(_key(one, wave), _time(wave, one.name))
  return panel


def _named(by_names: Mapping[str, keys_lib.Key]) -> set[str]:
  roles = {'user', 'item'} & {*by_names}
  return {by_names[role].column for role in roles}


def _keys_in_waves(
  sample: sample_lib.Sample,
  facts: Sequence[facts_lib.Facts],
  by_names: Mapping[str, keys_lib.Key],
) -> Iterator[tuple[facts_lib.Facts, facts_lib.Facts, float, float]]:
  """Columns with one row in each wave, and `_in_waves` of both."""
  if 'session' in by_names:
    return
  named = _named(by_names)
  others = {key.column for key in by_names.values()} - named
  # A part of a log has few of somebody's rows.
  least = {} if sample.is_whole else {'low': _ROWS_IN_A_PART}
  for wave in filter(_may_be_wave, facts):
    for one in facts:
      is_free = one.name not in others and keys_lib.comes_back(one, **least)
      if one.name in named or is_free:
        alone, follows = _in_waves(one, wave)
        if alone >= _ALONE:
          yield one, wave, alone, follows


def _may_be_wave(facts: facts_lib.Facts) -> bool:
  least, most = _WAVES
  return (
    time_names.is_wave(facts.name)
    and facts.kind == 'number'
    and facts.filled == facts.rows
    and facts.sentinel is None
    and least <= facts.distinct <= most
  )


def _in_waves(
  key: facts_lib.Facts, wave: facts_lib.Facts
) -> tuple[float, float]:
  """How rows of a key follow each other in waves.

  Returns:
    The share of rows that are their key's only one in a wave; and that of the
    steps from a key's wave to its next one that skip none. Years of what a key
    has several of, such as models of cars, skip many.
  """
  sample = key.sample
  rows = sample.connection.execute(
    f'SELECT {_code("k")} AS k, {_code("w")} AS w FROM (SELECT'
    f' {sample.given(key.name)} AS k, TRY_CAST({sample.given(wave.name)}'
    f' AS DOUBLE) AS w FROM {sample.table}) WHERE k IS NOT NULL'
  ).fetchnumpy()
  waves = rows['w'].max() + 2
  places, count = np.unique(rows['k'] * waves + rows['w'], return_counts=True)
  steps = np.diff(places)[np.diff(places // waves) == 0]
  alone = np.sum(count == 1) / np.sum(count)
  return float(alone), float(np.mean(steps == 1)) if len(steps) else 0.0


def _code(column: str) -> str:
  """SQL of whole numbers from 0 on, in the order of values."""
  return f'dense_rank() OVER (ORDER BY {column}) - 1'


def _is_somebody(
  facts: Sequence[facts_lib.Facts],
  key: facts_lib.Facts,
  wave: facts_lib.Facts,
) -> bool:
  if keys_lib.stand_together([key], ()):
    return True
  return any(
    2 <= one.distinct <= _MOST_VALUES
    and one.name not in (key.name, wave.name)
    and _agreement(one, key.name, wave.name) >= _AGREEMENT
    for one in facts
  )


def _agreement(facts: facts_lib.Facts, key: str, wave: str) -> float:
  """Cohen's kappa of a row's value and that of its key's row before.

  Chance is that of rows of the same two waves: what all change at once, such as
  a law, is nobody's own.
  """
  sample = facts.sample
  rows = sample.connection.execute(
    f'SELECT {_code("k")} AS k, {_code("w")} AS w, {_code("v")} AS v FROM ('
    f'SELECT {sample.given(key)} AS k, TRY_CAST({sample.given(wave)} AS'
    f' DOUBLE) AS w, {facts.text} AS v FROM {sample.table})'
    ' WHERE k IS NOT NULL AND v IS NOT NULL ORDER BY k, w'
  ).fetchnumpy()
  keys, waves, values = rows['k'], rows['w'], rows['v']
  is_next = keys[1:] == keys[:-1]
  if not is_next.any():
    return 0.0
  shares = np.zeros((waves.max() + 1, values.max() + 1))
  np.add.at(shares, (waves, values), 1.0)
  shares /= np.maximum(shares.sum(1, keepdims=True), 1.0)
  met = np.mean((values[1:] == values[:-1])[is_next])
  expected = np.mean(np.sum(shares[waves[1:]] * shares[waves[:-1]], 1)[is_next])
  return float((met - expected) / max(1 - expected, 1e-9))


def _key(facts: facts_lib.Facts, wave: facts_lib.Facts) -> keys_lib.Key:
  return keys_lib.Key(
    facts.name,
    f'{keys_lib.rows_each(facts)}, one in each {wave.name}: who or what rows'
    ' are about, again and again',
  )


def _time(wave: facts_lib.Facts, key: str) -> time_forms.Time:
  why = f'one row of each {key} in each'
  if years := time_forms.of_years(wave):
    return years._replace(why=f'years, {why}')
  why = f'{wave.least:g} to {wave.largest:g}, {why}: read as days'
  return time_forms.Time(wave.name, {'unit': 'd'}, why, (), is_date=False)

"""Panels: rows of somebody in years or waves."""

import numpy as np
import pytest

from rmtl_jax.preparation.guess import guess, panels
from tests.preparation.guess import logs

PERSONS, YEARS = 60, 6


def _panel(first=1990, **columns):
  """A row of each person in each year, by person."""
  rows = [(p, t) for p in range(PERSONS) for t in range(YEARS)]
  made = {
    'nr': [1000 + 13 * p for p, _ in rows],
    'year': [first + t for _, t in rows],
    'south': [int(p % 3 == 0) for p, _ in rows],
    'wage': [1.5 + 0.01 * p + 0.3 * t for p, t in rows],
    'union': [int((p + t // 3) % 4 == 0) for p, t in rows],
  }
  return made | columns


def _by_year(columns):
  order = np.argsort(columns['year'], kind='stable')
  return {name: [values[i] for i in order] for name, values in columns.items()}


def _guess(tmp_path, columns):
  path = logs.write(tmp_path / 'log.csv', columns)
  return guess.guess(path, labels=['union'])


@pytest.mark.parametrize('in_order', [lambda columns: columns, _by_year])
def test_years_of_persons_are_the_time(tmp_path, in_order):
  found = _guess(tmp_path, in_order(_panel()))
  assert found.schema['user'] == 'nr'
  assert found.schema['time'] == {'column': 'year', 'format': '%Y'}
  assert found.any_dates
  assert 'from_time' not in found.schema


@pytest.mark.parametrize('first', [1, 68, 1871])
def test_other_waves_are_read_as_days(tmp_path, first):
  found = _guess(tmp_path, _panel(first))
  assert found.schema['time'] == {'column': 'year', 'unit': 'd'}
  assert found.any_dates


@pytest.mark.parametrize('most', [0, 10**7])
def test_a_log_that_may_be_a_panel_is_read_whole(tmp_path, monkeypatch, most):
  monkeypatch.setattr(guess, 'ROWS', 100)
  monkeypatch.setattr(panels, '_MOST_VALUES_READ', most)
  path = logs.write(tmp_path / 'log.csv', _by_year(_panel()))
  found = guess.guess(path, 100, labels=['union'])
  assert found.is_whole == ('user' in found.schema) == (most > 0)
  # Another number of rows was asked for.
  assert not guess.guess(path, 99, labels=['union']).is_whole


def test_what_can_not_be_read_whole_is_not_read_again(tmp_path, monkeypatch):
  monkeypatch.setattr(guess, 'ROWS', 300)
  columns = _panel()
  (tmp_path / 'log').mkdir()
  for i in range(18):  # of some of so many files no row is read
    part = {name: values[20 * i :][:20] for name, values in columns.items()}
    logs.write(tmp_path / 'log' / f'{i:02}.csv', part)
  assert not guess.guess(tmp_path / 'log', 300, labels=['union']).is_whole


def test_a_large_file_beside_small_ones_is_read_whole(tmp_path, monkeypatch):
  monkeypatch.setattr(guess, 'ROWS', 100)
  columns = _panel()
  (tmp_path / 'log').mkdir()
  for i, (start, end) in enumerate([(0, 12), (12, 30), (30, 360)]):
    part = {name: values[start:end] for name, values in columns.items()}
    logs.write(tmp_path / 'log' / f'{i}.csv', part)
  found = guess.guess(tmp_path / 'log', 100, labels=['union'])
  assert found.is_whole and found.schema['user'] == 'nr'


def test_a_year_of_what_rows_are_about_needs_no_other_row(
  tmp_path, monkeypatch
):
  monkeypatch.setattr(guess, 'ROWS', 100)
  columns = _panel()
  columns['year'] = [1990 + p % 7 for p in columns['nr']]
  path = logs.write(tmp_path / 'log.csv', columns)
  assert not guess.guess(path, 100, labels=['union']).is_whole


def test_waves_of_an_item_leave_it_the_item(tmp_path):
  columns = _panel()
  found = _guess(tmp_path, {'product_id': columns.pop('nr'), **columns})
  assert found.schema['item'] == 'product_id'
  assert found.schema['time'] == {'column': 'year', 'format': '%Y'}
  assert 'user' not in found.schema


def test_ids_that_every_wave_counts_anew_are_nobody(tmp_path):
  random = np.random.default_rng(0)
  size = PERSONS * YEARS
  columns = _panel(
    south=random.integers(0, 2, size).tolist(),
    union=random.integers(0, 2, size).tolist(),
    wage=random.random(size).tolist(),
    # All of the first years differ from the later ones, whoever they are.
    law=[int(i % YEARS >= 3) for i in range(size)],
  )
  found = _guess(tmp_path, _by_year(columns))
  assert 'time' not in found.schema


@pytest.mark.parametrize('name', ['model_year', 'release_year', 'round'])
def test_names_of_other_years_are_no_time(tmp_path, name):
  columns = _panel()
  found = _guess(tmp_path, {name: columns.pop('year'), **columns})
  assert 'time' not in found.schema


def test_a_person_who_is_missing_in_some_rows(tmp_path):
  columns = _panel()
  columns['nr'] = [nr if i % 20 else '' for i, nr in enumerate(columns['nr'])]
  assert _guess(tmp_path, columns).schema['user'] == 'nr'


@pytest.mark.parametrize(
  'columns',
  [
    # Several rows of a person in a year; years of few rows each.
    {'year': [1990 + i % 2 for i in range(PERSONS * YEARS)]},
    {'year': [1990 + i % 3 * (i % 7 == 0) for i in range(PERSONS * YEARS)]},
    # Three of these, of which train would have one.
    {'year': [1990 + i % 3 for i in range(PERSONS * YEARS)]},
    # Every row is somebody else's.
    {'nr': list(range(PERSONS * YEARS))},
    # Years of what somebody has several of, such as cars.
    {'year': [1990 + (i * 17 + i // 6 * 5) % 30 for i in range(360)]},
    # Rounds of a session.
    {'session_id': [i // YEARS for i in range(PERSONS * YEARS)]},
  ],
)
def test_no_panel(tmp_path, columns):
  assert 'time' not in _guess(tmp_path, _panel(**columns)).schema


def test_a_year_is_never_whose_rows_stand_together(tmp_path):
  size = PERSONS * YEARS
  columns = {
    'Year': [1960 + i // 12 for i in range(size)],
    'team': [f't{i % 18}' for i in range(size)],
    'union': [int(i * 7 % 5 == 0) for i in range(size)],
  }
  found = _guess(tmp_path, columns)
  assert not {'user', 'session'} & {*found.schema}

"""The simulated log as its readers see it."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest
from sklearn import metrics

from rmtl_jax import types
from rmtl_jax.preparation.simulator import log as simulated

# Changes only where the defaults or the simulated data change on purpose:
# figures on simulated data from before are then no longer comparable.


@pytest.fixture(scope='module')
def table() -> pa.Table:
  return simulated.simulate(100_000, seed=0)


@pytest.fixture(scope='module')
def columns(table: pa.Table) -> dict[str, np.ndarray]:
  flat = [name for name in table.column_names if name != 'item_tags']
  return {name: table[name].to_numpy() for name in flat}


def _z(label: np.ndarray, p: np.ndarray) -> float:
  """How many standard deviations the labels' sum lies off, if p is true."""
  return float((label - p).sum() / np.sqrt((p * (1 - p)).sum()))


def test_conversion_implies_click(columns: dict[str, np.ndarray]):
  for name in ('click', 'conversion'):
    assert set(np.unique(columns[name])) == {0, 1}
  assert (columns['conversion'] <= columns['click']).all()
  assert (columns['p_conversion'] < columns['p_click']).all()
  assert (columns['p_conversion'] > 0).all()
  assert (columns['p_click'] < 1).all()


@pytest.mark.parametrize('task', ['click', 'conversion'])
def test_true_probabilities_are_calibrated(
  columns: dict[str, np.ndarray], task: str
):
  label, p = columns[task], columns[f'p_{task}']
  assert abs(_z(label, p)) < 4
  edges = np.quantile(p, np.linspace(0, 1, 11)[1:-1])
  bins = np.searchsorted(edges, p)
  for b in range(10):
    assert abs(_z(label[bins == b], p[bins == b])) < 4


def test_nothing_of_the_past_improves_the_true_probability(
  columns: dict[str, np.ndarray],
):
  # What a row's label tells beyond p must not tell of the session's next row.
  p, label = columns['p_click'], columns['click']
  surprise = (label - p) / np.sqrt(p * (1 - p))
  same = np.diff(columns['session_id']) == 0
  product = surprise[:-1][same] * surprise[1:][same]
  assert abs(product.sum()) < 4 * np.sqrt((product**2).sum())


@pytest.mark.parametrize(
  'task, low, high', [('click', 0.80, 0.86), ('conversion', 0.84, 0.90)]
)
def test_oracle_ranks_well_and_a_shuffled_one_does_not(
  columns: dict[str, np.ndarray], task: str, low: float, high: float
):
  label, p = columns[task], columns[f'p_{task}']
  assert low < metrics.roc_auc_score(label, p) < high
  shuffled = np.random.default_rng(0).permutation(p)
  assert abs(metrics.roc_auc_score(label, shuffled) - 0.5) < 0.03
  assert metrics.log_loss(label, p) < 0.9 * metrics.log_loss(
    label, np.full(len(p), label.mean())
  )


def test_rows_come_session_by_session_and_in_time(
  columns: dict[str, np.ndarray],
):
  session, time = columns['session_id'], columns['timestamp']
  assert set(np.unique(np.diff(session))) == {0, 1}
  same = np.diff(session) == 0
  assert (np.diff(time)[same] >= 1_000).all()
  start = time[np.flatnonzero(np.diff(session, prepend=-1))]
  assert (np.diff(start) >= 0).all()
  assert 25 < (time[-1] - time[0]) / 86_400_000 < 31


def test_idle_gaps_cut_the_same_sessions(columns: dict[str, np.ndarray]):
  user, time = columns['user_id'], columns['timestamp']
  order = np.lexsort((time, user))
  session = columns['session_id'][order]
  idle = np.diff(time[order]) > 30 * 60_000
  cut = idle | (np.diff(user[order]) != 0)
  assert ((np.diff(session) != 0) == cut).all()


def test_same_seed_same_log_and_other_seed_another():
  one = simulated.simulate(3_000, seed=5)
  assert one.equals(simulated.simulate(3_000, seed=5))
  other = simulated.simulate(3_000, seed=6)
  assert not np.array_equal(
    one['p_click'].to_numpy()[:3_000], other['p_click'].to_numpy()[:3_000]
  )


@pytest.mark.parametrize('rows', [1, 2, 17, 1_000])
def test_rows_are_those_asked_for_and_whole_sessions(rows: int):
  table = simulated.simulate(rows, seed=3)
  # Without the session that was drawn last, rows would be missing.
  longest = np.bincount(table['session_id'].to_numpy()).max()
  assert rows <= table.num_rows < rows + longest


@pytest.mark.parametrize(
  'change',
  [
    {'rows_per_user': 0.0},
    {'new_share': 1.5},
    {'length_max': 0},
    {'num_categories': 2.5},
    {'click_item': -1.0},
    {'click_bias': float('nan')},
  ],
)
def test_a_bad_parameter_is_named(change: dict[str, float]):
  parameters = dataclasses.replace(simulated.DEFAULT, **change)
  name, value = next(iter(change.items()))
  with pytest.raises(types.InputError, match=f'simulated.{name}: {value!r} is'):
    simulated.simulate(10, seed=0, parameters=parameters)

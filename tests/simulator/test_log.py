"""The simulated log as its readers see it."""

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax.simulator import log as simulated

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


def test_idle_gaps_cut_the_same_sessions(columns: dict[str, np.ndarray]):
  user, time = columns['user_id'], columns['timestamp']
  order = np.lexsort((time, user))
  session = columns['session_id'][order]
  idle = np.diff(time[order]) > 30 * 60_000
  cut = idle | (np.diff(user[order]) != 0)
  assert ((np.diff(session) != 0) == cut).all()

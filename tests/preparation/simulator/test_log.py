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
_DIGEST = '30a49a6864a66fef56c3d8588dfdb374e9ed69b4bd2e6ae58887eb89769170aa'


@pytest.fixture(scope='module')
def table() -> pa.Table:
  return simulated.simulate(100_000, seed=0)


@pytest.fixture(scope='module')
def columns(table: pa.Table) -> dict[str, np.ndarray]:
  flat = [name for name in table.column_names if name != 'item_tags']
  return {name: table[name].to_numpy() for name in flat}


def _lengths(columns: dict[str, np.ndarray]) -> np.ndarray:
  return np.bincount(columns['session_id'])


def _z(label: np.ndarray, p: np.ndarray) -> float:
  """How many standard deviations the labels' sum lies off, if p is true."""
  return float((label - p).sum() / np.sqrt((p * (1 - p)).sum()))


def test_defaults_and_their_data_are_frozen():
  assert simulated.parameters_digest() == _DIGEST


def test_columns_and_types(table: pa.Table):
  types_of = {f.name: str(f.type) for f in table.schema}
  ids = dict.fromkeys(('session_id', 'user_id', 'item_id'), 'int64')
  strings = dict.fromkeys(('country', 'age_group', 'device'), 'string')
  whole = ('timestamp', 'user_segment', 'item_category', 'brand', 'hour')
  floats = ('price', 'item_age', 'user_age', 'p_click', 'p_conversion')
  assert types_of == {
    **ids,
    **strings,
    **dict.fromkeys((*whole, 'weekday'), 'int64'),
    **dict.fromkeys(floats, 'double'),
    **dict.fromkeys(('click', 'conversion'), 'int8'),
    'item_tags': 'list<item: int64>',
  }
  assert all(column.null_count == 0 for column in table.columns)


def test_features_are_columns_that_tell_no_label(table: pa.Table):
  features = {
    *simulated.CATEGORICAL,
    *simulated.MULTI_VALUED,
    *simulated.NUMERIC,
  }
  others = {'session_id', 'timestamp', 'click', 'conversion'}
  assert set(table.column_names) - features == others | {
    'p_click',
    'p_conversion',
  }


def test_rates_are_those_of_a_shop(columns: dict[str, np.ndarray]):
  assert 0.05 <= columns['click'].mean() <= 0.10
  assert 0.01 <= columns['conversion'].mean() <= 0.02


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


def test_oracle_knows_more_than_user_and_item(columns: dict[str, np.ndarray]):
  # True rates per user and item, as no model could estimate them better.
  p = columns['p_click']
  score = np.ones(len(p))
  for key in (columns['user_id'], columns['item_id']):
    score *= (np.bincount(key, p) / np.maximum(np.bincount(key), 1))[key]
  known = metrics.roc_auc_score(columns['click'], score)
  oracle = metrics.roc_auc_score(columns['click'], p)
  assert 0.65 < known < oracle - 0.04


def test_a_click_so_far_tells_of_the_next(columns: dict[str, np.ndarray]):
  # Some of the hidden state shows in the session: its mood, for one.
  label = columns['click'].astype(float)
  second = np.flatnonzero(np.diff(columns['session_id'], prepend=-1))
  second = second[_lengths(columns) > 1] + 1
  after_click = label[second][label[second - 1] == 1].mean()
  after_none = label[second][label[second - 1] == 0].mean()
  assert after_click > 1.3 * after_none


def test_sessions_are_heavy_tailed(columns: dict[str, np.ndarray]):
  length = _lengths(columns)
  assert length.min() == 1
  assert 5 < length.mean() < 7.5
  assert np.median(length) <= 4
  assert 30 < np.quantile(length, 0.99) < 60
  assert 100 < length.max() <= 200


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


def test_clock_fields_follow_the_timestamp(columns: dict[str, np.ndarray]):
  moment = columns['timestamp'].astype('datetime64[ms]')
  hour = (moment.astype('datetime64[h]').astype(int)) % 24
  assert (columns['hour'] == hour).all()
  # 1970-01-01 was a Thursday, and Monday is 0.
  weekday = (moment.astype('datetime64[D]').astype(int) + 3) % 7
  assert (columns['weekday'] == weekday).all()


def test_users_recur_and_new_ones_appear(columns: dict[str, np.ndarray]):
  user, session = columns['user_id'], columns['session_id']
  first = np.flatnonzero(np.diff(session, prepend=-1))
  assert np.median(np.bincount(user[first])[np.unique(user)]) >= 3
  cut = int(0.8 * len(user))
  for key in (user, columns['item_id']):
    unseen = ~np.isin(key[cut:], key[:cut])
    assert 0.005 < unseen.mean() < 0.3
  assert (columns['item_age'] >= 0).all()
  assert (columns['user_age'] >= 0).all()


def test_items_follow_zipf(columns: dict[str, np.ndarray]):
  shown = np.sort(np.bincount(columns['item_id']))[::-1]
  top = shown[: len(shown) // 100].sum() / shown.sum()
  assert 0.3 < top < 0.8
  # Ids are no ranks: low ones are not shown more than high ones.
  half = columns['item_id'] < columns['item_id'].max() / 2
  assert 0.2 < half.mean() < 0.8


def test_an_items_fields_do_not_change(table: pa.Table):
  fields = ['item_category', 'brand', 'price']
  distinct = table.group_by(['item_id', *fields]).aggregate([])
  assert distinct.num_rows == len(table['item_id'].unique())
  tags: dict[int, list[int]] = {}
  ids, lists = table['item_id'].to_pylist(), table['item_tags'].to_pylist()
  for item, values in zip(ids[:20_000], lists, strict=False):
    assert tags.setdefault(item, values) == values
    assert values == sorted(set(values))
  assert 2 < np.mean([len(values) for values in tags.values()]) < 8


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


def test_numbers_of_users_and_items_scale_with_rows():
  parameters = simulated.Parameters(rows_per_user=10, rows_per_item=5)
  table = simulated.simulate(20_000, seed=1, parameters=parameters)
  users = np.unique(table['user_id'].to_numpy())
  items = np.unique(table['item_id'].to_numpy())
  assert 1_000 < len(users) <= 2_000 and users.max() < 2_000
  assert 2_000 < len(items) <= 4_000 and items.max() < 4_000


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


def test_bad_rows_and_seed_are_named():
  with pytest.raises(types.InputError, match='rows: 0 is not at least 1'):
    simulated.simulate(0, seed=0)
  with pytest.raises(types.InputError, match='seed: -1 is below 0'):
    simulated.simulate(10, seed=-1)

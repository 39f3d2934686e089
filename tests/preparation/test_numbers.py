from __future__ import annotations

import duckdb
import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import numbers, source


@pytest.fixture
def connection():
  with duckdb.connect() as found:
    found.execute('CREATE TABLE log (x_a DOUBLE, split BIGINT)')
    yield found


def fill(connection, train, rest=()):
  rows = [(x, 0) for x in train] + [(x, 1) for x in rest]
  connection.executemany('INSERT INTO log VALUES (?, ?)', rows)


def values(connection, expression):
  return [
    row[0]
    for row in connection.execute(
      f'SELECT {expression} FROM log ORDER BY rowid'
    ).fetchall()
  ]


def test_what_train_lacks_in_some_rows_is_nan(connection):
  fill(connection, [1.0, 3.0, None], [5.0])
  found = numbers.fit_normalisations(connection, 'log', ['x_a'])['x_a']
  assert found == numbers.Normalisation(2.0, 1.0, missing=True)
  assert numbers.Normalisation.of(found.details()) == found
  np.testing.assert_array_equal(
    values(connection, found.apply('x_a')), [-1.0, 1.0, np.nan, 3.0]
  )
  quantiles = numbers.fit_quantiles(
    connection, 'log', {'a': found.apply('x_a')}
  )
  assert quantiles == {'a': [-1.0, 1.0]}


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
  st.lists(
    st.floats(-10, 10, width=16).map(lambda x: x + 0.0),
    min_size=1,
    max_size=80,
  )
)
def test_quantiles_against_numpy(train):
  with duckdb.connect() as connection:
    connection.execute('CREATE TABLE log (x_a DOUBLE, split BIGINT)')
    fill(connection, train, [-99.0, 99.0])
    found = numbers.fit_quantiles(
      connection, 'log', {'a': 'CAST(x_a AS FLOAT)'}
    )['a']
    shares = np.arange(numbers.BINS + 1) / numbers.BINS
    train = np.float32(train)
    edges = np.quantile(train, shares, method='inverted_cdf')
    values, counts = np.unique(edges, return_counts=True)
    others = train[~np.isin(train, values[counts > 1])]
    expected = values
    if len(others) < len(train):
      expected = values[counts > 1]
      if len(others):
        more = np.quantile(others, shares, method='inverted_cdf')
        expected = np.unique([*expected, *more])
    assert found == (expected.tolist() if len(expected) > 1 else [])


@hypothesis.settings(deadline=None, max_examples=40)
@hypothesis.given(
  train=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30),
  bins=st.integers(2, 9),
)
@hypothesis.example(train=[117669.0, 117669.0], bins=9)  # rounded to beyond
def test_against_numpy(train, bins):
  with duckdb.connect() as connection:
    connection.execute('CREATE TABLE log (x_a DOUBLE, split BIGINT)')
    fill(connection, train)
    field = source.SourceField('a', 'numeric', transform='bins', bins=bins)
    edges = numbers.fit_bin_edges(connection, 'log', [field])['a']
    expected = np.quantile(train, np.arange(1, bins) / bins)
    np.testing.assert_allclose(
      edges, np.unique(edges), rtol=0, atol=0
    )  # increasing
    for edge in edges:
      assert np.min(np.abs(expected - edge)) <= 1e-9 * (1 + abs(edge))
    found = values(connection, numbers.bin_id(field, edges))
    numbered = np.searchsorted(edges, train, side='right')
    assert found == (numbered + 1).tolist()
    assert np.all(np.bincount(numbered, minlength=len(edges) + 1))
    # What all quantiles part is parted.
    shares = [n / bins for n in range(1, bins)]
    query = f'SELECT quantile_cont(x_a, {shares}) FROM log'
    ((quantiles,),) = connection.execute(query).fetchall()
    parted = np.searchsorted(quantiles, train, side='right')
    assert len(set(numbered)) == len(set(parted))
    scale = numbers.fit_normalisations(connection, 'log', ['x_a'])['x_a']
    assert scale.mean == pytest.approx(np.mean(train), rel=1e-9, abs=1e-9)
    if np.std(train) > 1e-6 * (1 + abs(np.mean(train))):
      assert scale.deviation == pytest.approx(np.std(train), rel=1e-6)

from __future__ import annotations

import duckdb
import numpy as np
import pytest
from hypothesis import strategies as st

from rmtl_jax.preparation import ranks
from tests import tiers


def edges_of(values, where='true'):
  with duckdb.connect() as connection:
    connection.execute('CREATE TABLE log (v DOUBLE, id INTEGER)')
    connection.executemany(
      'INSERT INTO log VALUES (?, ?)', [(v, i) for i, v in enumerate(values)]
    )
    query = ranks.edges_sql('log', 'v', where)
    return ranks.edges_of(connection.execute(query).fetchone())


def ranks_of(values, edges):
  with duckdb.connect() as connection:
    connection.execute('CREATE TABLE log (v DOUBLE)')
    connection.executemany('INSERT INTO log VALUES (?)', [(v,) for v in values])
    query = f'SELECT {ranks.rank_sql("v", edges)} FROM log'
    return [rank for (rank,) in connection.execute(query).fetchall()]


@pytest.mark.parametrize('examples', tiers.examples(12, 40))
def test_a_rank_is_the_share_of_lesser_labels(examples):
  values = st.integers(-4, 4).map(float)
  tiers.check(
    a_rank_is_the_share_of_lesser_labels, examples, st.lists(values, min_size=1)
  )


def a_rank_is_the_share_of_lesser_labels(train):
  given = np.array(train)
  less = (given < given[:, None]).mean(1)
  half = (given == given[:, None]).mean(1) / 2
  expected = np.floor(ranks.PARTS * (less + half) + 0.5)
  np.testing.assert_array_equal(ranks_of(train, edges_of(train)), expected)

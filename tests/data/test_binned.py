"""Numbers made of binned fields, against values written out."""

import numpy as np

from rmtl_jax.data import binned
from rmtl_jax.data import manifest as manifest_lib


def field(name, edges=(0.2, 0.4), **details):
  details = {'transform': 'bins', 'edges': list(edges), **details}
  size = len(edges) + 2
  return manifest_lib.Field(name, 'categorical', size, details=details)


def rate(key, edges):
  given = {'as_of': 'rates', 'key': key, 'task': 'buy', 'train_rate': 0.5}
  return field(f'asof_{key}_buy_rate', edges, **given)


COUNTRY = manifest_lib.Field('country', 'categorical', 9)
USER, ITEM = rate('user', [0.5]), rate('item', [0.8])


def test_ranks_of_bins():
  (one,) = binned.numbers([COUNTRY, field('gap')])
  assert (one.name, one.places) == ('gap_rank', (1,))
  unit = 1.5**0.5  # of the ranks -1, 0 and 1
  np.testing.assert_allclose(one.values, [(-unit, 0.0, unit)])
  np.testing.assert_allclose(one.quantiles, [-unit, 0.0, unit], rtol=1e-6)


def test_rates_of_user_and_item_add_up_in_log_odds():
  *ranks, one = binned.numbers([USER, COUNTRY, ITEM])
  assert [r.name for r in ranks] == [
    'asof_user_buy_rate_rank',
    'asof_item_buy_rate_rank',
  ]
  assert (one.name, one.places) == ('buy_rates', (0, 2))
  # Both bins beside an only edge are as near to it.
  np.testing.assert_allclose(one.values, [(0, 0), (np.log(4), np.log(4))])


def test_bins_have_the_rates_between_their_edges():
  edges = [0.2, 0.4, 0.8]
  *_, one = binned.numbers([rate('user', edges), ITEM])
  found = 1 / (1 + np.exp(-np.array(one.values[0])))  # train's rate is 1/2
  np.testing.assert_allclose(found, [0.2, 0.3, 0.6, 0.8])
  assert list(one.quantiles) == sorted(set(one.quantiles))

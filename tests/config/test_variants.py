import dataclasses

import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from tests import paper


def config(text, ensemble=3):
  return config_values.from_dict({'ensemble': ensemble, 'variants': text})


def test_members_take_the_variants_in_turn():
  text = 'network.ignore=user+item:pretrain.learning_rate=0.01;'
  found = variants.of_members(config(text))
  assert [one.network.ignore for one in found] == ['user+item', '', 'user+item']
  rates = [one.pretrain.learning_rate for one in found]
  assert rates == [0.01, 1e-3, 0.01]
  assert all((one.ensemble, one.variants) == (1, '') for one in found)


@pytest.mark.parametrize(
  ('text', 'ensemble', 'error'),
  [
    ('a;b', 1, 'config.variants: .*no such setting'),
    (';', 1, '2 variants, and config.ensemble is 1.*--config.variants= for'),
    ('backbone=omoe', 1, 'config.ensemble is 1; expected these settings'),
    ('batch.lanes=8;', 2, r"config.variants: 'batch.lanes=8': batch.lanes"),
    ('network.dropout=much;', 2, 'network.dropout=much is not of type float'),
    ('network.dropout=2;', 2, 'config.network.dropout: 2.0 is not between'),
  ],
)
def test_what_is_refused(text, ensemble, error):
  with pytest.raises(types.InputError, match=error):
    variants.of_members(config(text, ensemble))


def test_a_member_is_a_single_model_of_its_seed():
  """Its ensemble has intervals."""
  one = paper.config()
  assert one.evaluation.bootstrap
  assert variants.member_configs(one) == (one,)
  first, second = variants.member_configs(dataclasses.replace(one, ensemble=2))
  quick = dataclasses.replace(one.evaluation, bootstrap=0)
  assert first == dataclasses.replace(one, evaluation=quick)
  seed = variants.member_seed(one.seed, 1)
  assert seed != one.seed
  assert second == dataclasses.replace(one, seed=seed, evaluation=quick)

from __future__ import annotations

import dataclasses

import jax
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import from_settings
from tests import paper
from tests.networks import small

SPEC = types.FeatureSpec(
  categorical=(4, 3, 5),
  multi_valued=(),
  numeric=1,
  num_tasks=2,
  names=('user', 'segment', 'brand'),
  numeric_names=('price',),
)
CONFIG = dataclasses.replace(small.CONFIG, crosses='segment*brand+user*segment')
PLAIN = dataclasses.replace(CONFIG, crosses='')


def without_terms(params):
  return {name: leaf for name, leaf in params.items() if name != 'crosses'}


def test_a_pair_adds_its_term_to_each_logit():
  """By hand: 3 times the terms of both pairs."""
  network = from_settings.make_actor(SPEC, 'shared_bottom', CONFIG)
  plain = from_settings.make_actor(SPEC, 'shared_bottom', PLAIN)
  params = network.init(jax.random.key(0))
  own = params['crosses']
  assert own['terms_1_2'].shape == (3, 5, 2)
  assert own['terms_0_1'].shape == (4, 3, 2)
  own['terms_1_2'] = own['terms_1_2'].at[2, 4].set([0.5, -1.0])
  own['terms_0_1'] = own['terms_0_1'].at[1, 2].set([0.25, 2.0])
  given = small.inputs(SPEC, 0, lanes=1, slots=3)
  given = given._replace(
    categorical=np.array([[[1, 2, 4], [0, 2, 4], [1, 1, 4]]], np.int32)
  )
  added = small.run(network, params, given) - small.run(
    plain, without_terms(params), given
  )
  wanted = [[[2.25, 3.0], [1.5, -3.0], [0.0, 0.0]]]
  np.testing.assert_allclose(added, wanted, atol=1e-5)


@pytest.mark.parametrize(
  ('text', 'what'),
  [
    ('segment', "'segment' is no pair"),
    ('segment*', "'segment\\*' is no pair"),
    ('a*b*c', "'a\\*b\\*c' is no pair"),
    ('a*a', "'a\\*a' is no pair"),
    ('a*b+', "'' is no pair"),
    ('a*b+b*a', "'b\\*a' is there twice"),
  ],
)
def test_what_is_no_list_of_pairs_is_refused(text, what):
  with pytest.raises(types.InputError, match=what):
    config_values.from_dict({'network': {'crosses': text}}, paper.PAPER)

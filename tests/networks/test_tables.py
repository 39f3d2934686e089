"""Products from tables against products of every slot."""

from __future__ import annotations

import dataclasses
import functools

import numpy as np
import pytest

from rmtl_jax import config as config_lib
from rmtl_jax.networks import (
  backbone_registry,
  from_settings,
  functional,
  product_tables,
)
from tests import tiers
from tests.networks import small, test_distinct


@pytest.mark.parametrize(
  'name', tiers.some(test_distinct.NAMES, test_distinct.QUICK)
)
@pytest.mark.parametrize('rows', tiers.some((2**15, 160, 0), (160,)))
def test_tables_equal_plain(name, rows, monkeypatch):
  """With tables of all fields, of those up to 160 rows, and of none."""
  monkeypatch.setattr(product_tables, 'TABLE_ROWS', rows)
  outputs = []
  for form in ('plain', 'tables'):
    config = dataclasses.replace(small.CONFIG, first_layer=form)
    args = ()
    if name in backbone_registry.BACKBONES:
      network = from_settings.make_actor(test_distinct.SPEC, name, config)
    else:
      critic = config_lib.CriticConfig(form=name)
      network = from_settings.make_critic(test_distinct.SPEC, config, critic)
      args = (np.full((4, 8, 2), 0.3, np.float32),)
    if form == 'plain':
      params = small.params(network)
    prepared = network.prepare(params)
    run = small.jit(functools.partial(functional.apply, network))
    outputs.append(run(prepared, test_distinct.batch(12), *args))
  np.testing.assert_allclose(*outputs, rtol=1e-5, atol=1e-5)

"""Every backbone and critic against the independent one in numpy."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest

from rmtl_jax.networks import backbone_registry, from_settings
from tests import paper, tiers
from tests.networks import reference, small

# Both kinds of field for every K, and each kind alone for two tasks.
FIELDS = [
  (tasks, numeric, multi_valued)
  for tasks in (1, 2, 3)
  for numeric, multi_valued in ((True, True), (False, False))
] + [(2, True, False), (2, False, True)]
# One, two and three tasks, with all kinds of fields and with one.
QUICK = [(1, False, False), (2, True, True), (3, False, False)]


@pytest.mark.parametrize('backbone', backbone_registry.trained())
@pytest.mark.parametrize(
  ('tasks', 'numeric', 'multi_valued'), tiers.some(FIELDS, QUICK)
)
def test_every_backbone_equals_numpy(backbone, tasks, numeric, multi_valued):
  spec = small.spec(tasks, numeric=numeric, multi_valued=multi_valued)
  inputs = small.inputs(spec)
  network = from_settings.make_actor(spec, backbone, small.CONFIG)
  params = small.params(network)
  expected = reference.actor_logits(
    spec, backbone, small.CONFIG, params, inputs
  )
  found = small.run(network, params, inputs)
  assert found.shape == (small.LANES, small.SLOTS, tasks)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert np.std(found) > 1e-3


@pytest.mark.parametrize(
  ('backbone', 'units'),
  tiers.some(
    itertools.product(
      ('shared_bottom', 'mmoe', 'ple', 'esmm', 'aitm'), [(4,), (5, 4, 3)]
    ),
    [('ple', (5, 4, 3)), ('esmm', (4,))],
  ),
)
def test_other_depths_equal_numpy(backbone, units):
  config = dataclasses.replace(
    small.CONFIG,
    bottom_units=units,
    tower_units=units[::-1],
    official=len(units) == 3,
  )
  spec = small.spec()
  inputs = small.inputs(spec)
  network = from_settings.make_actor(spec, backbone, config)
  params = small.params(network)
  np.testing.assert_allclose(
    small.run(network, params, inputs),
    reference.actor_logits(spec, backbone, config, params, inputs),
    rtol=1e-5,
    atol=1e-5,
  )


CRITICS = [
  (form, head, tasks)
  for form in ('shared', 'separate')
  for head, tasks in (
    ('neg_softplus', 1),
    ('neg_softplus', 2),
    ('neg_softplus', 3),
    ('linear', 2),
    ('neg_relu', 2),
  )
]


@pytest.mark.parametrize(
  ('form', 'head', 'tasks'),
  tiers.some(
    CRITICS,
    [
      ('shared', 'neg_softplus', 2),
      ('separate', 'neg_softplus', 3),
      ('separate', 'neg_relu', 2),
      ('shared', 'linear', 2),
    ],
  ),
)
@pytest.mark.parametrize('fields', tiers.some((True, False), (True,)))
def test_every_critic_equals_numpy(form, head, tasks, fields):
  spec = small.spec(tasks, numeric=fields, multi_valued=fields)
  inputs = small.inputs(spec)
  actions = small.actions(tasks)
  critic = paper.critic(form=form, head=head)
  network = from_settings.make_critic(spec, small.CONFIG, critic)
  params = small.params(network)
  expected = reference.critic_values(
    spec, small.CONFIG, critic, params, inputs, actions
  )
  found = small.run(network, params, inputs, actions)
  np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
  assert np.std(found) > 1e-3
  if head != 'linear':
    assert (found <= 0).all()

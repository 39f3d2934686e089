"""From settings to a balancer, and the rules that settings keep."""

import pytest

from rmtl_jax import types
from rmtl_jax.balancing import balancer_registry
from rmtl_jax.config import values
from tests import paper


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', None),
    ('1,3', (1.0, 3.0)),
    (' 0 , 2.5', (0.0, 2.5)),
    ('buy=3, click=1', (1.0, 3.0)),
  ],
)
def test_weights_by_order_or_by_name(text, expected):
  assert balancer_registry.task_weights(text, 2, ('click', 'buy')) == expected


@pytest.mark.parametrize(
  ('text', 'fault'),
  [
    ('1,2,3', 'has 3 numbers, expected one for each of 2 tasks'),
    ('click=1', 'does not name each task once (click, buy)'),
    ('click=1,buy=2,buy=3', 'does not name each task once'),
    ('clik=1,buy=3', 'does not name each task once'),
    ('click=1,3', 'does not name each task once'),
    ('1,x', 'expected numbers that are at least 0'),
    ('1,-1', 'expected numbers that are at least 0'),
    ('1,inf', 'expected numbers that are at least 0'),
    ('0,0', 'not all 0'),
  ],
)
def test_weights_that_are_not_those_of_the_tasks(text, fault):
  with pytest.raises(types.InputError) as caught:
    balancer_registry.task_weights(
      text, 2, ('click', 'buy'), 'config.pretrain.balancing'
    )
  assert str(caught.value).startswith('config.pretrain.balancing.weights: ')
  assert fault in str(caught.value)


@pytest.mark.parametrize(
  ('settings', 'fault'),
  [
    (
      {'pretrain.balancing.name': 'pcgrad', 'pretrain.balancing.alpha': 1.0},
      'config.pretrain.balancing.alpha: pcgrad does not have it; it takes no'
      ' settings',
    ),
    (
      {'pretrain.balancing.weights': '1,2'},
      'config.pretrain.balancing.weights: equal does not have it; it takes no'
      ' settings',
    ),
    (
      {'pretrain.balancing.name': 'mgda', 'backbone': 'single_task'},
      'config.pretrain.balancing.name: mgda combines the gradients of'
      ' parameters that tasks share, and single_task shares none',
    ),
    ({'pretrain.balancing.name': 'pcgad'}, 'did you mean pcgrad'),
  ],
)
def test_rules(settings, fault):
  with pytest.raises(types.InputError) as caught:
    values.with_settings(paper.config(), settings)
  assert fault in str(caught.value)

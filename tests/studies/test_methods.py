import dataclasses

import pytest

from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.studies import methods
from tests import paper

pytestmark = pytest.mark.slow

BASE = paper.config()


def config(*names):
  return config_values.from_dict(
    {'compare': {'methods': list(names)}}, paper.PAPER
  )


def names(*wanted):
  return [method.name for method in methods.expand(config(*wanted))]


@pytest.mark.parametrize(
  'text',
  [
    'ple+critic',
    'ple+critic@mmoe:critic.discount=0.5:weighting.lambda_=0.3',
    'ple+q_shuffled:critic.head=linear',
    'ple:network.ignore=rates+user_id',
    'ple+critic:network.id_dropout=user=0.1:network.ignore=',
    'ple:ensemble=4:network.dropout=0.5',
    'ple+critic:batch.lane_length=16:batch.lanes=8',
    'mmoe/static:pretrain.balancing.weights=1+3',
    'ple/pcgrad+critic@esmm:critic.discount=0.5',
  ],
)
def test_a_name_parses_to_what_it_names(text):
  assert methods.parse(text, BASE).name == text


def test_a_balancer_behind_a_slash_is_that_of_stage_1():
  method = methods.parse('ple:pretrain.balancing.name=pcgrad', BASE)
  assert method.name == 'ple/pcgrad'
  assert method == methods.parse('ple/pcgrad', BASE)
  assert method.config(BASE).pretrain.balancing.name == 'pcgrad'
  assert methods.parse('ple/equal', BASE).name == 'ple'
  # It is judged against equal weights, and weighted methods start from it.
  assert names('ple/pcgrad') == ['ple', 'ple/pcgrad']
  weighted = methods.parse('ple/pcgrad+critic', BASE)
  assert weighted.pretrained == method
  assert weighted.controls()[0] == method


def test_one_thing_has_one_name():
  """Critics of the own backbone need no @; the order of settings is free."""
  parsed = [
    methods.parse(f'ple+critic@ple:{a}:{b}', BASE)
    for a, b in (
      ('critic.discount=0', 'weighting.lambda_=1'),
      ('weighting.lambda_=1.0', 'critic.discount=0.0'),
    )
  ]
  assert parsed[0] == parsed[1]
  assert (
    parsed[0].name == 'ple+critic:critic.discount=0.0:weighting.lambda_=1.0'
  )


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', "''.*expected BACKBONE"),
    ('pel', "'pel'.*backbone 'pel' is not one of"),
    ('ple+crtic', "weighting 'crtic' is not one of"),
    ('ple:critic.discount=0.5', 'critic.discount needs a weighting'),
    ('ple+critic:discount=0.5', 'discount: no such setting.*critic.discount'),
    ('ple:network.bottom_units=8-x', 'expected values such as 512-256'),
    ('ple:batch.lanes=-1', 'batch.lanes: -1 is not between 0 and'),
    ('ple:batch.input=streaming', 'the same for all: --config.batch.input'),
    ('ple+critic:finetune.learning_rate=1', 'is tuned for every method alike'),
    ('ple+critic:critic.discount=x', 'critic.discount=x is not of type float'),
    ('ple+critic:critic.discount=2', 'critic.discount: 2.0 is not between'),
    ('ple:ensemble=65', 'ensemble: 65 is not between 0 and 64'),
    (
      'ple+critic:ensemble=2',
      'ensemble=2 with a weighting: ensembles are compared as pre-trained',
    ),
  ],
)
def test_bad_methods_are_refused_in_one_line(text, expected):
  with pytest.raises(types.InputError, match=expected) as error:
    methods.parse(text, BASE)
  assert '\n' not in str(error.value)


def test_controls_are_added_once():
  assert names('ple+critic', 'esmm', 'ple+negative_q') == [
    'ple',
    'ple+constant',
    'ple+constant_mean',
    'ple+q_shuffled',
    'ple+critic',
    'ple+negative_q',
    'esmm',
  ]


def test_a_variant_has_controls_of_its_own():
  """As far as a setting makes a difference to them."""
  assert names('ple+critic@esmm:critic.in_finetune=frozen') == [
    'ple',
    'ple+constant',
    'ple+constant_mean@esmm',
    'ple+q_shuffled@esmm:critic.in_finetune=frozen',
    'ple+critic@esmm:critic.in_finetune=frozen',
  ]
  variant = methods.parse(
    'ple+critic:weighting.lambda_=0.3:finetune.max_epochs=1', BASE
  )
  assert [control.name for control in variant.controls()] == [
    'ple',
    'ple+constant:finetune.max_epochs=1',
    'ple+constant_mean:finetune.max_epochs=1:weighting.lambda_=0.3',
    'ple+q_shuffled:finetune.max_epochs=1:weighting.lambda_=0.3',
  ]


def test_an_ensemble_is_judged_against_the_single_model():
  assert names('ple:ensemble=4') == ['ple', 'ple:ensemble=4']
  method = methods.parse('ple:ensemble=4', BASE)
  assert method.config(BASE).ensemble == 4 and method.pretrained == method
  everything = dataclasses.replace(BASE, ensemble=2)
  with pytest.raises(types.InputError, match='compared as pre-trained'):
    methods.parse('ple+critic', everything)
  assert methods.parse('ple', everything).config(everything).ensemble == 2

import dataclasses

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.studies.comparison import methods

pytestmark = pytest.mark.slow

BASE = config_lib.Config()


def config(*names):
  return config_values.from_dict({'compare': {'methods': list(names)}})


def names(*wanted):
  return [method.name for method in methods.expand(config(*wanted))]


@pytest.mark.parametrize(
  'text',
  [
    'mmoe',
    'ple+critic',
    'ple+critic@esmm',
    'ple+ddpg',
    'esmm+constant',
    'ple+critic@mmoe:critic.discount=0.5:weighting.lambda_=0.3',
    'ple+q_shuffled:critic.head=linear',
    'ple+constant:finetune.clip_norm=1.0',
    'ple:network.dropout=0.5',
    'ple:network.ignore=rates+user_id',
    'ple+critic:network.id_dropout=user=0.1:network.ignore=',
    'ple:ensemble=4',
    'ple:ensemble=4:network.dropout=0.5',
    'ple:batch.lanes=8',
    'ple+critic:batch.lane_length=16:batch.lanes=8',
    'mmoe/famo',
    'mmoe/static:pretrain.balancing.weights=1+3',
    'ple/pcgrad+critic@esmm:critic.discount=0.5',
    'ple+critic:finetune.balancing.name=dwa',
  ],
)
def test_a_name_parses_to_what_it_names(text):
  assert methods.parse(text, BASE).name == text


def test_parts():
  method = methods.parse(' ple+critic@esmm:critic.max_passes=3 ', BASE)
  assert method == methods.Method(
    'ple', 'critic', 'esmm', (('critic.max_passes', 3),)
  )
  changed = method.config(BASE)
  assert changed.backbone == 'ple' and changed.weighting.name == 'critic'
  assert changed.critic.max_passes == 3
  assert changed.network == BASE.network


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


def test_layer_sizes_have_hyphens_between_them():
  text = 'ple:network.bottom_units=32-16'
  method = methods.parse(text, BASE)
  assert method.name == text
  assert method.config(BASE).network.bottom_units == (32, 16)


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('', "''.*expected BACKBONE"),
    ('ple+', "'ple.'.*expected BACKBONE"),
    ('ple+critic+critic', 'expected BACKBONE'),
    ('pel', "'pel'.*backbone 'pel' is not one of"),
    ('ple+crtic', "weighting 'crtic' is not one of"),
    ('ple/pcgrd', "balancer 'pcgrd' is not one of"),
    ('ple+critic@x', "backbone 'x' is not one of"),
    ('ple:critic.discount=0.5', 'critic.discount needs a weighting'),
    ('ple:finetune.l2=0', 'finetune.l2 needs a weighting'),
    ('ple+critic:discount=0.5', 'discount: no such setting.*critic.discount'),
    ('ple:network.bottom_units=8-x', 'expected values such as 512-256'),
    ('16', "'16': is a number; a list in a setting has hyphens"),
    ('ple+critic:batch.lane=8', 'batch.lane: no such setting.*batch.lanes'),
    ('ple:batch.lanes=0', 'batch.lanes: 0 is not between 1 and'),
    ('ple:batch.readers=3', '3 does not divide the 32 lanes'),
    ('ple:batch.input=streaming', 'the same for all: --config.batch.input'),
    ('ple:batch.steps_per_dispatch=8', 'how the data are read'),
    ('ple+critic:weighting.name=x', 'weighting.name: no such setting'),
    ('ple+critic:finetune.learning_rate=1', 'is tuned for every method alike'),
    ('ple+critic:critic.discount', 'critic.discount= is not of type float'),
    ('ple+critic:critic.discount=x', 'critic.discount=x is not of type float'),
    ('ple+critic:critic.max_passes=1.5', 'is not of type int'),
    ('ple+critic:critic.target_dropout=1', 'is not of type bool'),
    ('ple+critic:critic.discount=2', 'critic.discount: 2.0 is not between'),
    ('ple+advantage:weighting.form=critic', 'no difference to advantage'),
    ('ple+q_shuffled:weighting.form=ddpg', "form: 'ddpg' is not one of"),
    (
      'ple:pretrain.start=scratch',
      r'pretrain\.start: no such setting \(did you mean finetune\.start',
    ),
    ('ple+ddpg:weighting.lambda_=-1', 'lambda_: -1.0 is negative'),
    ('ple+critic:critic.head=relu', "critic.head: 'relu' is not one of"),
    ('ple:ensemble=65', 'ensemble: 65 is not between 1 and 64'),
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
    'ple+critic:weighting.lambda_=0.3:finetune.clip_norm=1', BASE
  )
  assert [control.name for control in variant.controls()] == [
    'ple',
    'ple+constant:finetune.clip_norm=1.0',
    'ple+constant_mean:finetune.clip_norm=1.0:weighting.lambda_=0.3',
    'ple+q_shuffled:finetune.clip_norm=1.0:weighting.lambda_=0.3',
  ]


def test_an_ensemble_is_judged_against_the_single_model():
  assert names('ple:ensemble=4') == ['ple', 'ple:ensemble=4']
  method = methods.parse('ple:ensemble=4', BASE)
  assert method.config(BASE).ensemble == 4 and method.pretrained == method
  everything = dataclasses.replace(BASE, ensemble=2)
  with pytest.raises(types.InputError, match='compared as pre-trained'):
    methods.parse('ple+critic', everything)
  assert methods.parse('ple', everything).config(everything).ensemble == 2


def test_ensembles_that_variants_make_the_same_are_refused():
  base = {'ensemble': 2, 'variants': 'backbone=ple;backbone=omoe'}
  given = config_values.with_settings(config('ple', 'mmoe'), base)
  with pytest.raises(types.InputError, match=r'mmoe: .* those of ple'):
    methods.expand(given)
  given = config_values.with_settings(config('ple', 'ple:ensemble=3'), base)
  assert len(methods.expand(given)) == 2
  # One member is the method's own.
  base = {'ensemble': 2, 'variants': ';backbone=omoe'}
  given = config_values.with_settings(config('ple', 'mmoe'), base)
  assert len(methods.expand(given)) == 2


def test_another_stage_1_is_judged_against_the_own_backbone():
  assert names('ple:network.dropout=0.5', 'esmm+constant:pretrain.l2=0') == [
    'ple',
    'ple:network.dropout=0.5',
    'esmm',
    'esmm:pretrain.l2=0.0',
    'esmm+constant:pretrain.l2=0.0',
  ]
  variant = methods.parse('ple+critic@esmm:network.dropout=0.5', BASE)
  assert variant.pretrained.name == 'ple:network.dropout=0.5'
  assert variant.critics.name == 'esmm:network.dropout=0.5'
  assert [control.name for control in variant.controls()] == [
    'ple:network.dropout=0.5',
    'ple+constant:network.dropout=0.5',
    'ple+constant_mean@esmm:network.dropout=0.5',
    'ple+q_shuffled@esmm:network.dropout=0.5',
  ]


def test_other_batches_are_those_of_every_stage_and_control():
  variant = methods.parse('ple+critic@esmm:batch.lanes=8', BASE)
  assert variant.pretrained.name == 'ple:batch.lanes=8'
  assert variant.critics.name == 'esmm:batch.lanes=8'
  assert [control.name for control in variant.controls()] == [
    'ple:batch.lanes=8',
    'ple+constant:batch.lanes=8',
    'ple+constant_mean@esmm:batch.lanes=8',
    'ple+q_shuffled@esmm:batch.lanes=8',
  ]


def test_weights_of_another_form_are_shuffled_themselves():
  name = 'advantage'
  base = config_values.from_dict({'critic': {'members': 2}}, BASE)
  text = f'ple+{name}:weighting.lambda_=-1'
  method = methods.parse(text, base)
  controls = method.controls()
  assert [control.name for control in controls] == [
    'ple',
    'ple+constant',
    'ple+constant_mean:weighting.lambda_=-1.0',
    f'ple+q_shuffled:weighting.form={name}:weighting.lambda_=-1.0',
  ]
  shuffled = controls[-1]
  assert methods.parse(shuffled.name, base) == shuffled
  assert shuffled.config(base).weighting.form == name
  # They share stage 2, and what starts from it.
  assert shuffled.critics == method.critics == methods.Method('ple')


@pytest.mark.parametrize(
  'name', ['critic', 'label_times_q', 'negative_q', 'ddpg']
)
def test_the_others_are_judged_against_shuffled_rmtl(name):
  base = config_values.from_dict({'weighting': {'form': 'advantage'}})
  *_, shuffled = methods.parse(f'ple+{name}', base).controls()
  assert shuffled.name == 'ple+q_shuffled'
  # A name says everything, whatever the comparison's own settings are.
  assert shuffled.config(base).weighting.form == 'critic'


def test_controls_start_where_the_method_does():
  variant = 'ple+critic:finetune.start=scratch'
  method = methods.parse(variant, BASE)
  assert [control.name for control in method.controls()] == [
    'ple',
    'ple+constant:finetune.start=scratch',
    'ple+constant_mean:finetune.start=scratch',
    'ple+q_shuffled:finetune.start=scratch',
  ]
  starts = [c.config(BASE).finetune.start for c in method.controls()]
  assert starts == ['pretrained', *['scratch'] * 3]


def test_the_default_form_has_no_second_name():
  text = 'ple+q_shuffled:weighting.form=critic'
  assert methods.parse(text, BASE).name == 'ple+q_shuffled'


@pytest.mark.parametrize(
  ('text', 'judged', 'critics'),
  [
    ('ple', False, None),
    ('ple:network.dropout=0.5', True, None),
    ('ple+constant', False, None),
    ('ple+constant_mean', False, 'ple'),
    ('ple+q_shuffled@esmm', False, 'esmm'),
    ('ple+critic', True, 'ple'),
    ('ple+ddpg', True, 'ple'),
    ('ple+advantage', True, 'ple'),
    ('ple+critic@esmm:weighting.lambda_=1.0', True, 'esmm'),
    ('ple+critic:critic.in_finetune=frozen', True, 'ple'),
    ('ple+critic:critic.head=linear', True, 'ple:critic.head=linear'),
  ],
)
def test_what_is_judged_and_which_critics_are_shared(text, judged, critics):
  method = methods.parse(text, BASE)
  assert method.has_verdict == judged == bool(method.controls())
  assert method.needs_critics == (critics is not None)
  if critics:
    assert method.critics.name == critics


@pytest.mark.parametrize(
  ('names', 'expected'),
  [
    (('ple', 'mmoe', 'esmm'), {'ple': [], 'mmoe': ['ple'], 'esmm': ['ple']}),
    (('mmoe',), {'mmoe': []}),
    # Two texts of one method, which is no control of itself.
    (('mmoe', 'mmoe/equal', 'ple'), {'mmoe': [], 'ple': ['mmoe']}),
    # A backbone that nobody named is a start, and no method.
    (
      ('ple', 'mmoe:network.dropout=0.5'),
      {'ple': [], 'mmoe': [], 'mmoe:network.dropout=0.5': ['mmoe']},
    ),
  ],
)
def test_backbones_alone_are_judged_beside_the_first(names, expected):
  compare = dataclasses.replace(BASE.compare, methods=names)
  config = dataclasses.replace(BASE, compare=compare)
  assert methods.controls(config) == expected

import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.studies import search_space
from tests import paper

pytestmark = pytest.mark.slow

BASE = paper.config()


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (
      'network.dropout=0.1:0.5',
      search_space.Dimension('network.dropout', (), 0.1, 0.5, False),
    ),
    (
      ' pretrain.l2=1e-8:1e-4:log',
      search_space.Dimension('pretrain.l2', (), 1e-8, 1e-4, True),
    ),
    (
      'pretrain.max_epochs=2:9',
      search_space.Dimension('pretrain.max_epochs', (), 2, 9, False),
    ),
    (
      'network.id_dropout=0|0.3',
      search_space.Dimension('network.id_dropout', ('0', '0.3')),
    ),
    (
      'pretrain.balancing.weights=1+1|1+4',
      search_space.Dimension('pretrain.balancing.weights', ('1+1', '1+4')),
    ),
  ],
)
def test_dimensions(text, expected):
  assert search_space.parse(text, BASE) == expected


def manifest(*fields, item=None):
  split = manifest_lib.Split(9, 0, (), {'click': 0})
  return manifest_lib.Manifest(
    source='mine',
    fields=fields,
    tasks=(manifest_lib.Task('click'),),
    splits=dict.fromkeys(manifest_lib.SPLITS, split),
    item_field=item,
  )


PRICE = manifest_lib.Field('price', 'numeric')
ITEM = manifest_lib.Field('item', 'categorical', 9)


def test_the_default_space_is_what_the_data_can_have():

  def space(*fields):
    texts = search_space.defaults(manifest(*fields))
    return {search_space.parse(text, BASE).name for text in texts}

  always = {'network.dropout', 'pretrain.learning_rate', 'pretrain.l2'}
  categories = {
    *('network.embedding_scale', 'network.id_dropout', 'pretrain.embedding_l2')
  }
  assert space(PRICE) == always
  assert space(PRICE, ITEM) == always | categories


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('network.dropout=0.1:0.5:exp', 'expected SETTING=LOW:HIGH'),
    ('network.dropout=0.5:0.1', 'expected LOW < HIGH'),
    ('network.dropout=a:b', 'network.dropout=a is not of type float'),
    ('network.dropout=0:inf', r'network.dropout: inf is not between 0.0 and'),
    ('network.id_dropout=0:1', 'is no number: name A|B|... instead'),
    ('network.droput=0:1', 'no such setting .did you mean network.dropout'),
    ('critic.discount=0.5|0.9', 'makes no difference to stage 1'),
    ('batch.input=auto|resident', 'batch.input sets how the data are read'),
  ],
)
def test_what_is_no_dimension(text, expected):
  with pytest.raises(types.InputError, match=expected):
    search_space.parse(text, BASE)


class Trial:
  """Draws the upper end of everything."""

  def suggest_categorical(self, name, choices):
    return choices[-1]

  def suggest_int(self, name, low, high, *, log=False):
    assert type(low) is type(high) is int
    return high

  def suggest_float(self, name, low, high, *, log=False):
    return high


def test_numbers_have_three_digits_and_stay_inside():
  texts = (
    'network.dropout=0.1:0.123456',
    'network.embedding_scale=0.1:0.12399',
    'pretrain.max_epochs=2:9',
    'network.id_dropout=0|0.3',
  )
  space = [search_space.parse(text, BASE) for text in texts]
  assert search_space.suggest(Trial(), space, BASE) == {
    'network.dropout': 0.123,
    'network.embedding_scale': 0.12399,  # 0.124 is outside
    'pretrain.max_epochs': 9,
    'network.id_dropout': '0.3',
  }

import pytest

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.training import search

BASE = config_lib.Config()


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    (
      'network.dropout=0.1:0.5',
      search.Dimension('network.dropout', (), 0.1, 0.5, False),
    ),
    (
      ' pretrain.l2=1e-8:1e-4:log',
      search.Dimension('pretrain.l2', (), 1e-8, 1e-4, True),
    ),
    (
      'critic.max_passes=2:9',
      search.Dimension('critic.max_passes', (), 2, 9, False),
    ),
    (
      'network.id_dropout=0|0.3',
      search.Dimension('network.id_dropout', ('0', '0.3')),
    ),
    (
      'critic.target_dropout=true|false',
      search.Dimension('critic.target_dropout', (True, False)),
    ),
  ],
)
def test_dimensions(text, expected):
  assert search.parse(text, BASE) == expected


@pytest.mark.parametrize('stage', sorted(search.DEFAULTS))
def test_defaults_are_dimensions(stage):
  for text in search.DEFAULTS[stage]:
    search.parse(text, BASE)


@pytest.mark.parametrize(
  ('text', 'expected'),
  [
    ('network.dropout', 'expected SETTING=LOW:HIGH'),
    ('network.dropout=0.1', 'expected SETTING=LOW:HIGH'),
    ('network.dropout=0.1:0.5:exp', 'expected SETTING=LOW:HIGH'),
    ('network.dropout=0.5:0.1', 'expected LOW < HIGH'),
    ('network.dropout=0:0.5:log', 'LOW > 0 for a logarithm'),
    ('network.dropout=a:b', 'network.dropout=a is not of type float'),
    ('network.dropout=0:inf', 'is no number'),
    ('network.id_dropout=0:1', 'is no number: name A|B|... instead'),
    ('network.droput=0:1', 'no such setting .did you mean network.dropout'),
    ('batch.lanes=1:8', 'batch.lanes: no such setting'),
  ],
)
def test_what_is_no_dimension(text, expected):
  with pytest.raises(types.InputError, match=expected):
    search.parse(text, BASE)


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
    'critic.max_passes=2:9',
    'network.id_dropout=0|0.3',
  )
  space = [search.parse(text, BASE) for text in texts]
  assert search.suggest(Trial(), space, BASE) == {
    'network.dropout': 0.123,
    'network.embedding_scale': 0.12399,  # 0.124 is outside
    'critic.max_passes': 9,
    'network.id_dropout': '0.3',
  }

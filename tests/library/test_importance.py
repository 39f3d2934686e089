"""`rmtl importance` on a small ensemble, and what it refuses."""

import json

import pytest

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.library import field_importance
from tests.serving import table_run

# Two members, of which one does not see users; both ignore the discount.
CONFIG = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'ensemble': 2,
    'variants': 'network.ignore=user+discount;network.ignore=discount',
    'pretrain': {'max_epochs': 1},
    'evaluation': {'bootstrap': 50},
  },
  table_run.CONFIG,
)


@pytest.fixture(scope='module')
def path(tmp_path_factory):
  directory = tmp_path_factory.mktemp('importance')
  return table_run.train(directory, ('pretrain',), CONFIG)


@pytest.mark.slow
def test_from_a_run_to_a_table(path, capsys):
  argv = [
    'importance',
    f'--workdir={path}',
    '--groups=who:user+age',
    '--repeats=2',
    '--split=test',
    '--nocompilation_cache',
  ]
  assert cli.main(['rmtl', *argv]) == 0
  printed = capsys.readouterr().out
  assert max(map(len, printed.splitlines())) <= 80 or str(path) in printed
  assert 'who (2 fields)' in printed
  assert 'Not read by the model: discount.' in printed
  record = json.loads((path / 'importance.json').read_text())
  fields = [f.name for f in manifest_file.read_copy(path).fields]
  assert [part['name'] for part in record['parts']] == [*fields, 'who']
  by_name = {part['name']: part for part in record['parts']}
  assert by_name['who']['fields'] == ['user', 'age']
  # The rows as they are get the metrics of the run, calibrated.
  assert record['calibrated'] and record['stage'] == 'pretrain'
  metrics = json.loads((path / 'metrics.json').read_text())
  evaluated = metrics['calibrated']['pretrain']
  for task, base in record['base'].items():
    for name, value in base.items():
      assert value == pytest.approx(evaluated[task][name], abs=1e-6)
    gone = by_name['discount']['tasks'][task]
    assert gone['auc'] == gone['logloss'] == 0.0
  # Labels come from the item, which says the number of tags too.
  losses = {n: part['tasks']['click']['auc'] for n, part in by_name.items()}
  assert any(losses[name] for name in ('user', 'item', 'tags', 'price', 'age'))
  # Fewer rows are whole sessions of four rows; a seed decides which.
  few = [
    rmtl_jax.importance(path, [], rows=11, repeats=1, seed=s) for s in (1, 1)
  ]
  assert (few[0]['rows'], few[0]['sessions']) == (8, 2)
  assert few[0] == few[1]
  assert [part['name'] for part in few[0]['parts']] == fields


SPEC = types.FeatureSpec(
  (9, 9, 9),
  (),
  1,
  1,
  names=('user', 'clicks', 'since'),
  numeric_names=('price',),
  groups=(('feedback', ('clicks', 'since')), ('gap', ())),
)


def test_groups_are_named_or_those_of_as_of_features():
  assert field_importance.find_groups(None, SPEC) == [
    ('feedback', ('clicks', 'since'))
  ]
  assert field_importance.find_groups([], SPEC) == []
  assert field_importance.find_groups('feedback', SPEC) == [
    ('feedback', ('clicks', 'since'))
  ]
  assert field_importance.find_groups(
    ['a:price+user', 'feedback', 'b:feedback+price'], SPEC
  ) == [
    ('a', ('user', 'price')),
    ('feedback', ('clicks', 'since')),
    ('b', ('clicks', 'since', 'price')),
  ]


@pytest.mark.parametrize(
  ('text', 'part'),
  [
    ('a:usr', "groups: 'usr' is neither a field of the data nor"),
    ('user:price', "groups: 'user' is the name of a field"),
    ('feedback:price+', "groups: '' is neither"),
    (':price', "groups: ':price' is not NAME:FIELD"),
    ('a:', "groups: 'a:' is not NAME:FIELD"),
    ('gap', "groups: 'gap' has no field in the data"),
    ('rates', 'groups: .rates. is neither'),
  ],
)
def test_bad_groups_are_one_line(text, part):
  with pytest.raises(types.InputError, match=part):
    field_importance.find_groups([text], SPEC)
  if text == 'feedback:price+':
    return
  with pytest.raises(types.InputError, match='another group'):
    field_importance.find_groups(['a:price', 'a:user'], SPEC)

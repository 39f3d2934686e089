"""Permutation importance of made-up predictors, whose importance is known."""

import json

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import cli, types
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import labelled
from rmtl_jax.library import field_importance
from rmtl_jax.results import list_starts
from tests import paper
from tests.serving import table_run

SPEC = types.FeatureSpec(
  categorical=(40, 2),
  multi_valued=((6, 1), (4, 3)),
  numeric=2,
  num_tasks=2,
  names=('user', 'flag', 'one', 'tags'),
  numeric_names=('price', 'age'),
)
CONFIG = paper.evaluation(bootstrap=200)
# Two members, of which one does not see users; both ignore the discount.
ENSEMBLE = config_values.from_dict(
  {
    'backbone': 'shared_bottom',
    'ensemble': 2,
    'variants': 'network.ignore=user+discount;network.ignore=discount',
    'pretrain': {'max_epochs': 1},
    'evaluation': {'bootstrap': 50},
  },
  table_run.CONFIG,
)


def _predict(inputs):
  """0.9 where the deciding field says 1, else 0.1."""
  user, flag = np.asarray(inputs.categorical).T
  says = np.stack([flag, user % 2], axis=1)
  return np.where(says, 0.9, 0.1).astype(np.float32)


def _rows(sessions: int = 400, length: int = 4):
  """`flag` decides the first task, `user` of the session the second."""
  rng = np.random.default_rng(0)
  rows = sessions * length
  session = np.repeat(np.arange(sessions), length)
  user = rng.integers(0, 40, sessions)[session]
  flag = rng.integers(0, 2, rows)
  numeric = rng.normal(size=(rows, 2)).astype(np.float32)
  numeric[:, 1] = numeric[session * length, 1]
  inputs = types.Inputs(
    np.stack([user, flag], axis=1).astype(np.int32),
    rng.integers(-1, 4, (rows, 4)).astype(np.int32),
    numeric,
  )
  labels = np.stack([flag, user % 2], axis=1).astype(np.float32)
  return inputs, labelled.Labelled(labels, session, ('click', 'order'))


def _measured(rows, *fields):
  """What fields lose, and the permuted inputs that were predicted for."""
  columns, seen = list_starts.columns(SPEC), []
  permuted = field_importance.Permutations(
    lambda inputs: seen.append(inputs) or _predict(inputs), *rows, CONFIG, 5, 0
  )
  return permuted.losses([columns[name] for name in fields]), seen[1:]


@pytest.fixture(scope='module')
def rows():
  return _rows()


def test_a_field_that_alone_decides_loses_all(rows):
  permuted = field_importance.Permutations(_predict, *rows, CONFIG, 1, 0)
  base = permuted.base_metrics()
  assert base['click']['auc'] == 1.0
  assert base['click']['logloss'] == pytest.approx(-np.log(0.9))
  found, seen = _measured(rows, 'flag')
  assert found['between'] == 'rows' and len(seen) == 5
  click, order = found['tasks']['click'], found['tasks']['order']
  # A random half is right: AUC 1/2, logloss the mean of log 0.9 and log 0.1.
  assert click['auc'] == pytest.approx(0.5, abs=0.02)
  low, high = click['auc_interval']
  assert low < click['auc'] < high and high - low < 0.1 and low < 0.5 < high
  expected = 0.5 * np.log(0.9 / 0.1)
  assert click['logloss'] == pytest.approx(expected, rel=0.05)
  low, high = click['logloss_interval']
  assert low < expected < high
  assert (order['auc'], order['auc_interval']) == (0.0, [0.0, 0.0])


def test_a_field_of_the_session_is_exchanged_between_sessions(rows):
  found, seen = _measured(rows, 'user')
  assert found['between'] == 'sessions'
  assert found['tasks']['order']['auc'] == pytest.approx(0.5, abs=0.05)
  assert found['tasks']['click']['auc'] == 0.0
  for inputs in seen:
    user = inputs.categorical[:, 0].reshape(-1, 4)
    assert (user == user[:, :1]).all()  # still one per session
    before = rows[0].categorical[::4, 0]
    assert (user[:, 0] != before).any()
    np.testing.assert_array_equal(np.sort(user[:, 0]), np.sort(before))
  # Few sessions tell little: the interval is wider than of as many rows.
  other, _ = _measured(rows, 'flag')
  widths = [
    np.ptp(of['tasks'][task]['auc_interval'])
    for of, task in ((found, 'order'), (other, 'click'))
  ]
  assert widths[0] > 1.5 * widths[1]


@pytest.mark.parametrize('name', ['one', 'tags', 'price', 'age'])
def test_a_field_that_nothing_reads_loses_exactly_nothing(rows, name):
  found, seen = _measured(rows, name)
  assert found['between'] == ('sessions' if name == 'age' else 'rows')
  for of in found['tasks'].values():
    assert of['auc'] == of['logloss'] == 0.0
    assert of['auc_interval'] == of['logloss_interval'] == [0.0, 0.0]
  kind, where = list_starts.columns(SPEC)[name]
  for other in ('categorical', 'multi_valued', 'numeric'):
    changed = (getattr(seen[0], other) != getattr(rows[0], other)).any(0)
    expected = np.zeros(len(changed), bool)
    if other == kind:
      expected[where] = True
    np.testing.assert_array_equal(changed, expected)


def test_fields_of_a_group_keep_each_others_company(rows):
  found, seen = _measured(rows, 'user', 'price')
  assert found['between'] == 'rows'  # price varies within sessions
  pairs = [
    set(
      zip(x.categorical[:, 0].tolist(), x.numeric[:, 0].tolist(), strict=True)
    )
    for x in (rows[0], seen[0])
  ]
  assert pairs[0] == pairs[1]
  assert (seen[0].numeric != rows[0].numeric)[:, 0].any()
  assert _measured(rows, 'user', 'age')[0]['between'] == 'sessions'


@pytest.mark.slow
def test_from_a_run_to_a_table(tmp_path, capsys):
  path = table_run.train(tmp_path, ('pretrain',), ENSEMBLE)
  argv = [
    'importance',
    f'--workdir={path}',
    '--groups=user+age',
    '--repeats=2',
    '--split=test',
    '--nocompilation_cache',
  ]
  assert cli.main(['rmtl', *argv]) == 0
  assert 'user+age (2 fields)' in capsys.readouterr().out
  record = json.loads((path / 'importance.json').read_text())
  fields = [f.name for f in manifest_file.read_copy(path).fields]
  by_name = {part['name']: part for part in record['parts']}
  assert list(by_name) == [*fields, 'user+age']
  # The rows as they are get the metrics of the run, calibrated.
  assert record['stage'] == 'pretrain'
  metrics = json.loads((path / 'metrics.json').read_text())
  evaluated = metrics['stages']['pretrain']
  for task, base in record['base'].items():
    for name, value in base.items():
      assert value == pytest.approx(evaluated[task][name], abs=1e-6)
    gone = by_name['discount']['tasks'][task]  # which no member reads
    assert gone['auc'] == gone['logloss'] == 0.0
  losses = [part['tasks']['click']['auc'] for part in record['parts']]
  assert any(losses)
  # Fewer rows are whole sessions of four rows; a seed decides which.
  few = [
    rmtl_jax.importance(path, [], rows=11, repeats=1, seed=s) for s in (1, 1)
  ]
  assert (few[0]['rows'], few[0]['sessions']) == (8, 2)
  assert few[0] == few[1]
  assert [part['name'] for part in few[0]['parts']] == fields


def test_groups_are_named_or_those_of_as_of_features():
  spec = types.FeatureSpec(
    (9, 9, 9),
    (),
    1,
    1,
    names=('user', 'clicks', 'since'),
    numeric_names=('price',),
    groups=(('feedback', ('clicks', 'since')), ('gap', ())),
  )
  feedback = {'feedback': ['clicks', 'since']}
  assert field_importance.find_groups(None, spec) == feedback
  assert field_importance.find_groups([], spec) == {}
  assert field_importance.find_groups(['price+user', 'feedback'], spec) == {
    'price+user': ['user', 'price'],
    **feedback,
  }
  for text, part in (
    ('usr', "groups: 'usr' is neither a field of the data nor"),
    ('gap', "groups: 'gap' has no field in the data"),
  ):
    with pytest.raises(types.InputError, match=part):
      field_importance.find_groups([text], spec)

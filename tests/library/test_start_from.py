"""A fit that goes on from another one, on new rows."""

import json
import shutil

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import types
from tests.library import small
from tests.library.test_ranker import ranker, without_labels

pytestmark = pytest.mark.slow

OLD = 320


def rows(first: int, last: int | None = None) -> dict:
  """Rows of the small table; the new ones have an item of their own."""
  table = small.table()
  table['item_id'] = [
    99 if n >= OLD and n % 5 == 0 else item
    for n, item in enumerate(table['item_id'])
  ]
  return {name: values[first:last] for name, values in table.items()}


@pytest.fixture(scope='module')
def monday():
  return small.quietly(
    ranker(prepare={'as_of': ('views', 'rates')}).fit, rows(0, OLD)
  )


@pytest.fixture(scope='module')
def tuesday(monday):
  one = ranker(prepare={'as_of': ('views', 'rates')})
  return small.quietly(lambda: one.fit(rows(OLD), start_from=monday))


def test_a_fit_goes_on_with_model_data_and_log(monday, tuesday):
  began = tuesday.record_['started_from']
  assert began['run'] == str(monday.run_dir_)
  assert began['rows']['item_id']['new'] == 1
  assert tuesday._run.config == monday._run.config
  splits = tuesday.model_.manifest.splits
  assert splits['validation'].rows == monday.model_.manifest.splits['test'].rows
  assert splits['test'].rows == len(rows(OLD)['click'])
  # The past of a row is all that was fitted on.
  table = small.table()
  new = {**without_labels(rows(OLD), slice(0, 6)), 'session_id': [1000] * 6}
  new['timestamp'] = [table['timestamp'][-1] + 100 + n for n in range(6)]
  np.testing.assert_array_equal(
    tuesday.predict_proba(new), tuesday.predict_proba(new, rows(0))
  )
  assert not (tuesday.run_dir_ / 'rows.parquet').exists()


def test_a_saved_one_goes_on_if_it_has_its_data(monday, tuesday, tmp_path):
  monday.save(tmp_path / 'saved', with_data=True)
  loaded = rmtl_jax.load(tmp_path / 'saved')
  assert loaded.data_dir_ == tmp_path / 'saved' / 'data'
  small.quietly(lambda: loaded.fit(rows(OLD), start_from=tmp_path / 'saved'))
  assert loaded.metrics_ == tuesday.metrics_
  # And so it does night after night.
  later = small.table(20)
  later['timestamp'] = [t + 10**6 for t in later['timestamp']]
  later['session_id'] = [n + 10**6 for n in later['session_id']]
  small.quietly(lambda: loaded.fit(later, start_from=loaded))
  assert loaded.model_.manifest.splits['test'].rows == 20
  shutil.rmtree(tmp_path / 'saved' / 'data')
  config = json.loads((tmp_path / 'saved' / 'config.json').read_text())
  config['data_dir'] = str(tmp_path / 'gone')
  (tmp_path / 'saved' / 'config.json').write_text(json.dumps(config))
  with pytest.raises(types.InputError, match=r'save\(\.\.\., with_data=True\)'):
    ranker().fit(rows(OLD), start_from=tmp_path / 'saved')


@pytest.mark.parametrize(
  ('more', 'told'),
  [
    ({'schema': {'item': None}}, r"with schema=None, not \{'item': None\}"),
    ({'tasks': ('click',)}, r"tasks=\['click', 'buy'\], not \['click'\]"),
    ({'config': {'backbone': 'mmoe'}}, "backbone='shared_bottom', not 'mmoe'"),
    ({'config': {'network.embedding_dim': 8}}, 'embedding_dim=4, not 8'),
    ({'prepare': {'as_of': ('views',)}}, 'as_of: .* gives it'),
    ({'prepare': {'split': (8, 1, 1)}}, 'split: .* gives it'),
  ],
)
def test_another_model_or_other_data_are_refused(monday, tmp_path, more, told):
  path = tmp_path / 'run'
  prepare = {'as_of': ('views', 'rates')}
  one = ranker(**{'prepare': prepare, 'workdir': path, **more})
  with pytest.raises(types.InputError, match=told) as error:
    one.fit(rows(OLD), start_from=monday)
  assert '\n' not in str(error.value)
  assert not path.exists()

"""A fitted Ranker that is trained again, with its validation rows."""

import numpy as np
import pytest

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.library import fitting
from tests.library import small
from tests.library.test_ranker import ranker, without_labels

pytestmark = pytest.mark.slow


def test_a_refit_predicts_and_is_saved(tmp_path):
  """Of a model that reads the past, whose log goes along."""
  one = small.quietly(
    ranker(prepare={'as_of': ('views', 'rates')}).fit, small.table()
  )
  before, first = one.record_, one.run_dir_
  rows = without_labels(small.table(), slice(0, 6))
  said = small.quietly(lambda: one.predict_proba(rows))
  place = tmp_path / 'again'
  assert small.quietly(lambda: one.refit(place)) is one
  assert one.run_dir_ == place and one.model_.stage == 'pretrain'
  assert one.record_['refit_of'] == {
    'run': str(first),
    'epochs': [before['best_epoch']['pretrain']],
  }
  assert one.metrics_ == one.record_['stages']['pretrain']
  assert one.metrics_ != before['stages']['pretrain']
  after = small.quietly(lambda: one.predict_proba(rows))
  assert after.shape == said.shape and np.any(after != said)
  one.save(tmp_path / 'saved')
  loaded = rmtl_jax.load(tmp_path / 'saved')
  np.testing.assert_array_equal(
    small.quietly(lambda: loaded.predict_proba(rows)), after
  )
  # The same call again finds it finished.
  other = rmtl_jax.load(first)
  small.quietly(lambda: other.refit(place))
  assert other.record_['stages'] == one.record_['stages']


def test_what_can_not_be_refitted(tmp_path):
  with pytest.raises(ValueError, match='is not fitted'):
    ranker().refit()
  one = small.quietly(ranker().fit, small.table())
  one.save(tmp_path / 'saved')
  loaded = rmtl_jax.load(tmp_path / 'saved')
  (one.run_dir_ / fitting.DATA / 'manifest.json').unlink()
  with pytest.raises(types.InputError, match=r'manifest\.json'):
    loaded.refit(tmp_path / 'other')
  assert not (tmp_path / 'other').exists()

"""Pruned comparisons: results stay, and methods may still be added."""

import shutil

import pytest

from rmtl_jax import cli, types
from rmtl_jax.runtime import workdir
from rmtl_jax.studies import prune
from rmtl_jax.studies.comparison import compare
from tests import tiny
from tests.studies.comparison import test_compare

pytestmark = pytest.mark.slow


def config(*methods):
  return test_compare.changed(
    methods=methods, seeds=(5,), learning_rates=(1e-2,)
  )


def test_a_pruned_comparison_trains_again_what_more_methods_need(
  tmp_path, capsys
):
  data, whole, pruned = (tmp_path / n for n in ('data', 'whole', 'pruned'))
  tiny.write_prepared(data)
  first = config('shared_bottom+critic')
  before = compare.compare(first, whole, data, test_compare.QUIET)
  shutil.copytree(whole, pruned)
  assert prune.is_study(whole) and not prune.is_study(data)
  assert cli.main(['rmtl', 'prune', str(pruned)]) == 0
  assert capsys.readouterr().out.startswith(f'{pruned}: freed ')
  assert not (pruned / 'checkpoints').exists()
  # What is finished is read.
  again = compare.compare(first, pruned, data, test_compare.QUIET)
  assert test_compare.timeless(again) == test_compare.timeless(before)
  assert not (pruned / 'checkpoints').exists()
  more = config('shared_bottom+critic', 'shared_bottom+advantage')
  found, expected = (
    compare.compare(more, path, data, test_compare.QUIET)
    for path in (pruned, whole)
  )
  names = ('runs', 'summary', 'differences', 'verdicts', 'tuning')
  for name in names:
    assert without_times(found[name]) == without_times(expected[name])


def without_times(value):
  if isinstance(value, dict):
    return {k: without_times(v) for k, v in value.items() if k != 'seconds'}
  if isinstance(value, list):
    return [without_times(one) for one in value]
  return value


@pytest.mark.parametrize('left', ['', 'unfinished/pretrain-ple-None-0'])
def test_a_comparison_that_is_not_finished_is_refused(tmp_path, left):
  tiny.write_prepared(tmp_path / 'data')
  workdir.create(
    tmp_path, test_compare.CONFIG, tmp_path / 'data', kind=workdir.COMPARISON
  )
  (tmp_path / 'checkpoints').mkdir()
  if left:
    (tmp_path / 'results.json').touch()
    (tmp_path / left).mkdir(parents=True)
  assert prune.is_study(tmp_path)
  with pytest.raises(types.InputError, match='is not finished, and goes on fr'):
    prune.prune(tmp_path)
  assert (tmp_path / 'checkpoints').is_dir()

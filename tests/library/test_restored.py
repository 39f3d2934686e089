"""Parameters that Orbax restores without this package."""

import orbax.checkpoint as ocp
import pytest

import rmtl_jax
from rmtl_jax import types


def test_orbax_alone_restores_what_gives_the_metrics(paper_run, tmp_path):
  path, metrics = paper_run
  steps = (path / 'checkpoints' / 'pretrain').glob('[0-9]*')
  params = ocp.StandardCheckpointer().restore(max(steps) / 'arrays')
  restored = rmtl_jax.restore(path, 'pretrain')
  assert restored.evaluate(params) == metrics['stages']['pretrain']
  assert restored.evaluate(restored.params) == metrics['stages']['pretrain']
  with pytest.raises(types.InputError, match='is not one of pretrain'):
    rmtl_jax.restore(path, 'critic')
  with pytest.raises(types.InputError, match='is not a run'):
    rmtl_jax.restore(tmp_path / 'run')

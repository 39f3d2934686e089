import json
import pathlib

import orbax.checkpoint as ocp
import pytest

import rmtl_jax
from rmtl_jax import run, types
from rmtl_jax.runtime import progress
from tests import test_run, tiny


def test_orbax_alone_restores_what_gives_the_metrics(tmp_path):
  tiny.write_prepared(tmp_path / 'data')
  path = tmp_path / 'run'
  with pytest.raises(types.InputError, match='is not a run'):
    rmtl_jax.restore(path)
  run.train(
    test_run.CONFIG,
    path,
    tmp_path / 'data',
    ('pretrain',),
    progress.Progress(quiet=True),
  )
  steps = pathlib.Path(path, 'checkpoints', 'pretrain').glob('[0-9]*')
  params = ocp.StandardCheckpointer().restore(max(steps) / 'arrays')
  restored = rmtl_jax.restore(path)
  metrics = json.loads((path / 'metrics.json').read_text())
  assert restored.evaluate(params) == metrics['stages']['pretrain']
  assert restored.evaluate(restored.params) == metrics['stages']['pretrain']
  with pytest.raises(types.InputError, match='is not one of pretrain'):
    rmtl_jax.restore(path, 'finetune')

"""A backbone, a metric and a weighting of one's own, from log to metrics."""

import json

import numpy as np
import pytest
from flax import nnx

import rmtl_jax
from rmtl_jax import cli
from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import first_layer
from tests import paper
from tests import registries as registries_lib

_SCHEMA = {
  'session': 'session',
  'user': 'user',
  'item': 'item',
  'time': {'column': 'time'},
  'categorical': ['user', 'item'],
  'tasks': ['click'],
}


def _log():
  """400 rows of 80 sessions; what is clicked depends on the item alone."""
  return [
    {
      'session': i // 5,
      'user': i % 40,
      'time': 1_704_067_200_000 + 1000 * i,
      'item': 7 * i % 9,
      'click': int(7 * i % 9 < 4),
    }
    for i in range(400)
  ]


class _Wide(nnx.Module):
  """One linear layer over all embeddings."""

  def __init__(self, spec, config, rngs):
    self.first = first_layer.FirstLayer(spec, config, rngs, spec.num_tasks)

  def __call__(self, shared, inputs, dropout_key):
    hidden, _ = self.first(shared, inputs)
    return hidden[0]


@pytest.fixture
def registries():
  """What a test can have again by undo."""
  kept = registries_lib.Registries()
  yield kept
  kept.undo()


def _accuracy(labels, probabilities, rows):
  del rows
  return float(np.mean((probabilities > 0.5) == (labels > 0.5)))


@pytest.mark.slow
@pytest.mark.usefixtures('registries')
def test_a_backbone_and_a_metric_reach_every_table(tmp_path, capsys):
  rmtl_jax.register_backbone('wide', _Wide)
  rmtl_jax.register_metric('accuracy', _accuracy, label='share right')
  data, run = tmp_path / 'data', tmp_path / 'run'
  rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(data_dir=str(data), as_of=('none',)),
    table=_log(),
    schema=_SCHEMA,
  )
  settings = config_values.to_dict(_small('constant'))
  settings['backbone'], settings['pretrain']['max_epochs'] = 'wide', 6
  config = config_values.from_dict(settings, paper.PAPER)
  quiet = rmtl_jax.Progress(quiet=True)
  record = rmtl_jax.train(config, run, data, live=quiet)
  values = record['stages']['finetune']['click']
  assert 0.7 < values['accuracy'] <= 1.0
  assert rmtl_jax.evaluate(run)['stages'] == record['stages']

  assert cli.main(['rmtl', 'report', f'--workdir={run}']) == 0
  page = (run / 'report' / 'report.html').read_text()
  assert 'wide on table' in page
  assert f'>{values["accuracy"]:.4f}<' in page
  assert 'share right' in page

  file, compared = tmp_path / 'config.json', tmp_path / 'compared'
  file.write_text(json.dumps({'config': settings}))
  line = ['--methods=wide,wide+constant', '--seeds=0,1']
  line += [f'--workdir={compared}', f'--data_dir={data}', f'--config={file}']
  line += ['--config.compare.learning_rates=0.001', '--nocompilation_cache']
  assert cli.main(['rmtl', 'compare', *line]) == 0, capsys.readouterr()
  page = (compared / 'report' / 'report.html').read_text()
  assert 'share right' in page
  found = json.loads((compared / 'results.json').read_text())
  tested = {one['metric'] for one in found['summary']}
  assert tested == {'auc', 'gauc', 'logloss', 'session_logloss', 'accuracy'}


def _small(weighting: str) -> config_lib.Config:
  return config_values.from_dict(
    {
      'backbone': 'shared_bottom',
      'network': {
        'embedding_dim': 4,
        'bottom_units': [4],
        'tower_units': [4],
      },
      'pretrain': {'learning_rate': 0.05, 'max_epochs': 1},
      'critic': {'max_passes': 2, 'min_passes': 1},
      'weighting': {'name': weighting, 'lambda_': 0.5},
      'finetune': {'max_epochs': 2},
      'batch': {'lanes': 4, 'lane_length': 8, 'steps_per_dispatch': 2},
      'evaluation': {'bootstrap': 0},
    },
    paper.PAPER,
  )

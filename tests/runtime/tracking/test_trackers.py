"""Trackers outside of RUN: every epoch once, and never a run's end."""

import json
import sys

import pytest

from rmtl_jax import types
from rmtl_jax.runtime import writers
from rmtl_jax.runtime.tracking import trackers
from tests import registries as registries_lib

EPOCHS = [
  {'stage': 'pretrain', 'epoch': n, 'loss': 1 / n, 'note': 'x'} for n in (1, 2)
]
METRICS = {'click': {'auc': 0.75, 'positives': 3, 'auc_interval': [0.5, 1.0]}}
RECORD = {'split': 'test', 'stages': {'pretrain': METRICS}}


class Fake:
  """Remembers what it was called with, in all runs of a test."""

  def __init__(self, run_id, calls, fails=''):
    self.run_id, self.calls, self.fails = run_id, calls, fails

  def _note(self, *call):
    if call[0] == self.fails:
      raise OSError('the server\nhas gone')
    self.calls.append(call)

  def parameters(self, values):
    self._note('parameters', dict(values))

  def metrics(self, values, step):
    self._note('metrics', dict(values), step)

  def artifacts(self, paths):
    self._note('artifacts', [path.name for path in paths])

  def close(self):
    self._note('close')


@pytest.fixture
def register():
  """register(open) makes it the tracker `fake` of one test."""
  kept = registries_lib.Registries()
  yield lambda open: trackers.register_tracker('fake', open)
  kept.undo()


def test_a_tracker_gets_three_calls(tmp_path, register):
  calls = []
  register(lambda workdir, run_id: Fake(run_id or 'r1', calls))
  (tmp_path / 'metrics.json').write_text('{}')
  writer = writers.Writer(tmp_path, EPOCHS[:1], ['fake'])
  writer.parameters({'seed': 3})
  writer.write(EPOCHS[1])
  writer.finish(RECORD)
  writer.close()
  assert calls == [
    ('metrics', {'pretrain/loss': 1.0}, 1),
    ('parameters', {'seed': 3}),
    ('metrics', {'pretrain/loss': 0.5}, 2),
    (
      'metrics',
      {'test/pretrain/auc_click': 0.75, 'test/pretrain/positives_click': 3},
      None,
    ),
    ('artifacts', ['metrics.json', 'metrics.jsonl']),
    ('close',),
  ]
  assert not (tmp_path / 'tensorboard').exists()


def test_a_run_that_goes_on_sends_an_epoch_once(tmp_path, register):
  calls, opened = [], []

  def open_(workdir, run_id):
    opened.append(run_id)
    return Fake(run_id or 'r1', calls)

  register(open_)
  for _ in range(3):
    writer = writers.Writer(tmp_path, EPOCHS[:1], ['fake'])
    writer.write(EPOCHS[1])
    writer.close()
  assert opened == ['', 'r1', 'r1']
  assert [call[2] for call in calls if call[0] == 'metrics'] == [1, 2]


def test_a_tracker_that_fails_is_told_of_once(tmp_path, register):
  calls, said = [], []
  register(lambda workdir, run_id: Fake('r1', calls, fails='metrics'))
  writer = writers.Writer(tmp_path, EPOCHS, ['fake'], said.append)
  writer.write({**EPOCHS[1], 'epoch': 3})
  writer.finish(RECORD)
  writer.close()
  assert calls == []
  assert said == ['WARNING: tracker fake gets no more of this run: the server']
  assert len(writers.read_history(tmp_path)) == 3


def test_unknown_and_missing_trackers_are_named(monkeypatch):
  with pytest.raises(types.InputError, match='did you mean mlflow'):
    trackers.check(['mlflo'])
  monkeypatch.setitem(sys.modules, 'wandb', None)
  told = 'tracker wandb needs the package wandb: pip install'
  with pytest.raises(types.InputError, match=told):
    trackers.check(['tensorboard', 'wandb'])


def test_mlflow_itself(tmp_path, monkeypatch):
  mlflow = pytest.importorskip('mlflow')
  mlflow.set_tracking_uri(f'sqlite:///{tmp_path / "mlflow.db"}')
  experiment = mlflow.create_experiment('mine', (tmp_path / 'files').as_uri())
  mlflow.set_experiment(experiment_id=experiment)
  place = tmp_path / 'run'
  place.mkdir()
  for last in (False, True):
    writer = writers.Writer(place, EPOCHS, ['mlflow'])
    writer.parameters({'seed': 3, 'network.bottom_units': (8, 6), 'text': ''})
    if last:
      writer.finish(RECORD)
    writer.close()
    (found,) = mlflow.search_runs([experiment], output_format='list')
    assert found.info.status == ('FINISHED' if last else 'KILLED')
  assert found.info.run_name == 'run'
  assert found.data.params['network.bottom_units'] == '(8, 6)'
  assert found.data.metrics['test/pretrain/auc_click'] == 0.75
  client = mlflow.MlflowClient()
  losses = client.get_metric_history(found.info.run_id, 'pretrain/loss')
  assert [(m.step, m.value) for m in losses] == [(1, 1.0), (2, 0.5)]
  (file,) = client.list_artifacts(found.info.run_id)
  assert file.path == 'metrics.jsonl'


def test_wandb_itself_offline(tmp_path, monkeypatch):
  wandb = pytest.importorskip('wandb')
  for name, value in (
    ('WANDB_MODE', 'offline'),
    ('WANDB_SILENT', 'true'),
    ('WANDB_DIR', str(tmp_path)),
    ('WANDB_CACHE_DIR', str(tmp_path / 'cache')),
    ('WANDB_DATA_DIR', str(tmp_path / 'data')),
  ):
    monkeypatch.setenv(name, value)
  place = tmp_path / 'run'
  place.mkdir()
  writer = writers.Writer(place, EPOCHS, ['wandb'])
  writer.parameters({'seed': 3, 'network.bottom_units': (8, 6)})
  writer.finish(RECORD)
  writer.close()
  run_id = json.loads((place / 'tracking' / 'wandb.json').read_text())['run_id']
  files = [path.name for path in tmp_path.rglob('*.wandb')]
  assert files == [f'run-{run_id}.wandb']
  assert wandb.run is None

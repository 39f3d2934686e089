"""The SavedModel's signature predicts what the run does."""

import sys

import numpy as np
import pyarrow as pa
import pytest

from rmtl_jax import cli
from rmtl_jax.serving import exported, predictor
from rmtl_jax.serving.export import saved_model, writer
from tests.serving import past_run, table_run


def test_without_tensorflow_it_says_what_to_install(
  run_dir, tmp_path, capsys, monkeypatch
):
  monkeypatch.setitem(sys.modules, 'tensorflow', None)
  out = tmp_path / 'out'
  line = ['rmtl', 'export', f'--workdir={run_dir}', f'--output={out}']
  assert cli.main([*line, '--format=saved_model']) == 2
  assert 'needs the package tensorflow' in capsys.readouterr().err
  assert not out.exists()


@pytest.mark.parametrize(
  ('which', 'changes'),
  [
    ('run_dir', {'backbone': 'ple'}),
    ('run_dir', {'backbone': 'aitm', 'ensemble': 2}),
    ('past_dir', {'network.session_encoder': 'gru'}),
  ],
)
def test_the_signature_predicts_as_the_run(which, changes, request, tmp_path):
  """Rows of a run without a past; lanes of one that encodes sessions."""
  tf = pytest.importorskip(
    'tensorflow', reason='TensorFlow (extra saved_model) is not installed'
  )
  scorer = past_run.untrained(request.getfixturevalue(which), **changes)
  record = writer.export(scorer, tmp_path / 'out', with_saved_model=True)
  assert 'saved_model/1/saved_model.pb' in record['files']
  loaded = tf.saved_model.load(str(tmp_path / 'out' / 'saved_model' / '1'))
  signature = loaded.signatures['serving_default']
  rng = np.random.default_rng(0)
  categorical = [f.size for f in scorer.manifest.of_kind('categorical')]
  for b, t in ((1, 3), (7, 5)):  # no batch size is fixed
    lead = (b, t) if scorer.needs.sessions else (b,)
    inputs = []
    for one in record['inputs']:
      shape = (*lead, *one['shape'][len(lead) :])
      if one['dtype'] == 'float32':
        values = rng.normal(size=shape)
      elif one['name'] == 'categorical':
        values = rng.integers(0, categorical, shape)
      elif one['name'] == 'multi_valued':
        values = rng.integers(0, 2, shape)
      else:
        values = np.broadcast_to(np.arange(t), shape) // 2
      inputs.append(values.astype(one['dtype']))
    given = {
      one['name']: tf.constant(values)
      for one, values in zip(record['inputs'], inputs, strict=True)
    }
    found = signature(**given)['probabilities'].numpy()
    expected = scorer.network(*inputs)
    np.testing.assert_allclose(found, expected, rtol=0.0, atol=1e-5)


def test_raw_rows_are_encoded_by_the_export(run_dir, tmp_path):
  tf = pytest.importorskip(
    'tensorflow', reason='TensorFlow (extra saved_model) is not installed'
  )
  writer.export(predictor.load(run_dir), tmp_path / 'out', True)
  model = exported.load(tmp_path / 'out')
  place = tmp_path / 'out' / saved_model.DIRECTORY / '1'
  signature = tf.saved_model.load(str(place)).signatures['serving_default']
  table = table_run.table().slice(0, 50)
  inputs = model.encode(table)
  found = signature(**{k: tf.constant(v) for k, v in inputs.items()})
  expected = model.predict_proba(pa.table(table))
  np.testing.assert_allclose(found['probabilities'], expected, atol=1e-5)

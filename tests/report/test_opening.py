"""What a run says of its data and settings before it starts."""

import dataclasses

from rmtl_jax import config as config_lib
from rmtl_jax.config import presets
from rmtl_jax.data import manifest_file
from rmtl_jax.report import opening
from tests import tiny


def _said(text):
  return ' '.join(text.split())


def test_recommended_settings_are_said_in_80_columns(tmp_path):
  tiny.write_prepared(tmp_path, sessions=60)
  manifest = manifest_file.read(tmp_path)
  config = presets.preset('recommended', manifest)
  text = opening.text(config, manifest, 'data')
  assert max(map(len, text.split('\n'))) <= 80
  train = manifest.splits['train']
  assert f'{train.rows:,}' in text and f'{train.sessions:,}' in text
  said = _said(text)
  assert 'data: data (' in said and 'train' in said
  assert 'preset recommended, chosen by the size of the data: ple' in said
  assert 'embeddings of 8, layers of 64-32, towers of 16' in said
  slots = config.batch.lanes * 64
  steps = -(-train.rows // slots)
  assert f'batches of {slots} rows, about {steps} steps an epoch' in said
  assert '4 members' in said and '--preset=paper' in said
  assert 'weighting advantage and, as its control' in said
  assert 'the best relative logloss so far' in said


def test_other_settings(tmp_path):
  tiny.write_prepared(tmp_path, sessions=60)
  manifest = manifest_file.read(tmp_path)
  config = config_lib.Config()
  config = dataclasses.replace(
    config,
    preset='paper',
    control=False,
    weighting=dataclasses.replace(config.weighting, name='constant'),
  )
  said = _said(opening.text(config, manifest, 'data'))
  assert '--preset=paper' not in said and 'members' not in said
  assert 'critic' not in said and 'control' not in said
  assert 'the best AUC so far' in said


def test_only_the_stages_that_follow_are_told(tmp_path):
  tiny.write_prepared(tmp_path, sessions=60)
  manifest = manifest_file.read(tmp_path)
  config = config_lib.Config()
  said = _said(opening.text(config, manifest, 'data', ['pretrain']))
  assert 'stages: pretrain trains the model. Their lines' in said
  said = _said(opening.text(config, manifest, 'data', ['critic', 'finetune']))
  assert 'stages: critic trains the critics that' in said

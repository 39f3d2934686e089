"""A source, a backbone and a weighting of one's own, from log to metrics."""

import pathlib

import pytest
from flax import nnx

import rmtl_jax
from rmtl_jax import config as config_lib
from rmtl_jax import config_values, types
from rmtl_jax.data import raw, sources
from rmtl_jax.networks import features, functional
from rmtl_jax.training import methods
from rmtl_jax.weighting import factory


def _read(connection, raw_dir, options):
  """400 rows of 80 sessions; what is clicked depends on the item alone."""
  connection.sql(
    """CREATE TABLE log AS SELECT
      i AS row_id, i // 5 AS session, i % 40 AS user,
      1_704_067_200_000 + 1000 * i AS timestamp,
      i % 40 AS f_user, (7 * i) % 9 AS f_item,
      CAST((7 * i) % 9 < 4 AS DOUBLE) AS y_click
    FROM range(400) rows(i)"""
  )
  return rmtl_jax.SourceTable(
    view='log',
    fields=(
      rmtl_jax.SourceField('user', 'categorical'),
      rmtl_jax.SourceField('item', 'categorical'),
    ),
    tasks=(rmtl_jax.SourceTask('click'),),
    table=raw.RawTable('log', ()),
    has_session=True,
    user_field='user',
    item_field='item',
  )


class _Wide(nnx.Module):
  """One linear layer over all embeddings."""

  def __init__(self, spec, config, rngs):
    self.first = features.FirstLayer(spec, config, spec.num_tasks, 0, rngs)

  def __call__(self, shared, inputs, dropout_key):
    hidden, _ = self.first.members(shared, inputs)
    return hidden[0]


def _scale_by_worst(lambda_):
  return rmtl_jax.stateless(
    lambda updates, q_values, **_: updates * (q_values < -lambda_)
  )


@pytest.fixture
def registries(monkeypatch):
  """As those of a fresh process, which the test can have again by undo."""
  with monkeypatch.context() as patch:
    patch.setattr(config_values, 'CHOICES', dict(config_values.CHOICES))
    patch.setattr(functional, '_BUILDERS', dict(functional._BUILDERS))
    patch.setattr(factory, '_BY_LAMBDA', dict(factory._BY_LAMBDA))
    patch.setattr(sources, 'SOURCES', dict(sources.SOURCES))
    yield patch


@pytest.mark.long
def test_parts_of_ones_own_go_all_the_way(
  registries: pytest.MonkeyPatch, tmp_path: pathlib.Path
):
  rmtl_jax.register_source('mine', _read)
  rmtl_jax.register_backbone('wide', _Wide)
  rmtl_jax.register_weighting('worst', _scale_by_worst)
  data, run = tmp_path / 'data', tmp_path / 'run'
  rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(source='mine', raw_dir='.', data_dir=str(data))
  )
  config = rmtl_jax.Config(
    backbone='wide',
    control=False,
    network=rmtl_jax.NetworkConfig(
      embedding_dim=4, bottom_units=(4,), tower_units=(4,)
    ),
    pretrain=rmtl_jax.StageConfig(learning_rate=0.05, max_epochs=6),
    critic=rmtl_jax.CriticConfig(max_passes=3),
    weighting=rmtl_jax.WeightingConfig(name='worst', lambda_=0.5),
    finetune=rmtl_jax.StageConfig(max_epochs=1),
    batch=rmtl_jax.BatchConfig(lanes=4, lane_length=8),
    evaluation=rmtl_jax.EvaluationConfig(bootstrap=0),
  )
  quiet = rmtl_jax.Progress(quiet=True)
  record = rmtl_jax.train(config, str(run), str(data), live=quiet)
  assert record['stages']['pretrain']['click']['auc'] > 0.9
  assert record['weighting'] == 'worst'
  assert rmtl_jax.evaluate(str(run))['stages'] == record['stages']

  registries.undo()  # another process
  with pytest.raises(types.InputError, match=r'^[^\n]*wide[^\n]*\Z'):
    rmtl_jax.evaluate(run)


@pytest.mark.usefixtures('registries')
def test_a_registered_weighting_is_judged_against_its_own_shuffle():
  with pytest.raises(types.InputError, match="'worst' is not one of"):
    methods.parse('ple+worst', config_lib.Config())
  rmtl_jax.register_weighting('worst', _scale_by_worst)
  method = methods.parse('ple+worst', config_lib.Config())
  shuffled = method.controls()[-1]
  assert shuffled.weighting == 'q_shuffled'
  assert dict(shuffled.settings)['weighting.form'] == 'worst'
  assert method.config(config_lib.Config()).weighting.name == 'worst'


def test_a_config_that_names_one_is_refused_elsewhere(registries):
  rmtl_jax.register_weighting('worst', _scale_by_worst)
  config = rmtl_jax.Config(weighting=rmtl_jax.WeightingConfig(name='worst'))
  written = config_values.to_dict(config)
  assert config_values.from_dict(written) == config
  registries.undo()
  with pytest.raises(
    types.InputError, match=r"^config\.weighting\.name: 'worst' is[^\n]*\Z"
  ):
    config_values.from_dict(written)

"""Recipes for public logs: single networks that were chosen on validation.

    rmtl train --config=experiments/configs/recipes.py:retailrocket \
      --data_dir=data/retailrocket --workdir=runs/retailrocket

Prepare the data with `--as_of=all`. `plain` is PLE without features of the
past, which the others are compared with. What each gained: docs/models.md.
"""

from rmtl_jax import config as config_lib
from rmtl_jax.config import values as config_values

_PLAIN = {
  'backbone': 'ple',
  'network.embedding_dim': 16,
  'network.bottom_units': (128, 64),
  'network.tower_units': (64, 32),
  'network.num_experts': 4,
  'network.ignore': 'asof',
  'pretrain.max_epochs': 40,
}
# One seed a candidate.
_RETAILROCKET = {
  'network.embedding_scale': 0.3,
  'network.id_dropout': '0.3',
  'network.ignore': 'recency+tastes',
  'network.session_encoder': 'mean',
  'pretrain.embedding_l2': 0.001,
}
# Chosen on simulated seeds 5, 0 and 7.
_SIMULATED = {
  'backbone': 'esmm',
  'batch.lanes': 10,
  'batch.lane_length': 200,
  'network.embedding_scale': 0.3,
  'network.ignore': 'views+counts+rates+recency+tastes+history+gap',
  'pretrain.embedding_l2': 0.005,
  'pretrain.learning_rate': 0.002,
  'pretrain.patience': 5,
}
RECIPES = {
  'plain': {},
  'retailrocket': _RETAILROCKET,
  'simulated': _SIMULATED,
}


def get_config(name: str = 'plain') -> config_lib.Config:
  """The settings of a recipe."""
  return config_values.with_settings(
    config_lib.preset('paper'), {**_PLAIN, **RECIPES[name]}
  )

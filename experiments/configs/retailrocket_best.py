"""Recipe for RetailRocket's event log.

    rmtl prepare --source=retailrocket --raw_dir=raw/retailrocket \
      --as_of=all --data_dir=data/retailrocket
    rmtl train --config=experiments/configs/retailrocket_best.py \
      --data_dir=data/retailrocket --workdir=runs/retailrocket_best

MEASURED_RR
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags

# Over plain.py.
SETTINGS = {
  'network.embedding_scale': 0.3,
  'network.id_dropout': '0.3',
  'network.ignore': '',
  'network.session_encoder': 'mean',
  'pretrain.embedding_l2': 0.001,
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_lib.with_settings(plain, SETTINGS)

"""Recipe for simulated sessions.

    rmtl prepare --source=simulated \
      --as_of=all --data_dir=data/simulated
    rmtl train --config=experiments/configs/simulated_best.py \
      --data_dir=data/simulated --workdir=runs/simulated_best

MEASURED_SIM
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags

# Over plain.py.
SETTINGS = {
  'network.embedding_scale': 0.3,
  'network.ignore': '',
  'network.session_encoder': 'mean',
  'pretrain.embedding_l2': 0.003,
  'pretrain.learning_rate': 0.002,
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_lib.with_settings(plain, SETTINGS)

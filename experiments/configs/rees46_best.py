"""Recipe for REES46's store log.

    rmtl prepare --source=rees46 --raw_dir=raw/rees46 \
      --as_of=all --data_dir=data/rees46
    rmtl train --config=experiments/configs/rees46_best.py \
      --data_dir=data/rees46 --workdir=runs/rees46_best

MEASURED_REES
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags

# Over plain.py.
SETTINGS = {
  'network.ignore': '',
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_lib.with_settings(plain, SETTINGS)

"""Critics that know something, with small networks.

    rmtl compare --config=experiments/tables/critics_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/critics_small

Methods, critics, seeds and budget are those of critics.py. Time: about 40
minutes on one busy CPU core with 45,217 train rows. Expected there (16 seeds):
the critics' R2 is +0.19 and +0.13; no method passes; `advantage` comes nearest,
+6.6e-4 click and +4.0e-4 conversion over the pre-trained model
(experiments/results/retailrocket_small/critics.md).
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags


def get_config() -> config_lib.Config:
  """The table's settings with the small networks."""
  here = pathlib.Path(__file__).parent
  table = config_flags.load(str(here / 'critics.py'))
  small = config_flags.load(str(here / 'small.py'))
  return dataclasses.replace(table, network=small.network)

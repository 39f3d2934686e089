"""Transfer of critics between backbones, with small networks.

    rmtl compare --config=experiments/tables/transfer_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/transfer_small

and on simulated sessions, which it draws itself where no data is named:

    rmtl compare --config=experiments/tables/transfer_small.py \
      --workdir=runs/transfer_simulated

Time on two CPU cores: 22 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Methods, seeds and budget
are those of transfer.py. Expected there (5 seeds): no transferred critic
differs from its controls by more than its interval, but for mmoe+critic's
+1.7e-4 conversion AUC over constant weights. The whole result:
experiments/results/retailrocket_small/transfer.md.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags


def get_config() -> config_lib.Config:
  """The table's settings with the small networks."""
  here = pathlib.Path(__file__).parent
  table = config_flags.load(str(here / 'transfer.py'))
  small = config_flags.load(str(here / 'small.py'))
  return dataclasses.replace(table, network=small.network)

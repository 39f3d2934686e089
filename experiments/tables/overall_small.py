"""Overall performance, with small networks.

    rmtl compare --config=experiments/tables/overall_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/overall_small

and on simulated sessions, which it draws itself where no data is named:

    rmtl compare --config=experiments/tables/overall_small.py \
      --workdir=runs/overall_simulated

Time on two CPU cores: 22 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Methods, seeds and budget
are those of overall.py. Expected there (5 seeds): all backbones within 0.588
to 0.592 click AUC and 0.597 to 0.603 conversion AUC, PLE first; RMTL within
8e-4 of its controls with intervals that hold 0; DDPG 37e-4 and 30e-4 below the
pre-trained PLE. The whole result:
experiments/results/retailrocket_small/overall.md.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags


def get_config() -> config_lib.Config:
  """The table's settings with the small networks."""
  here = pathlib.Path(__file__).parent
  table = config_flags.load(str(here / 'overall.py'))
  small = config_flags.load(str(here / 'small.py'))
  return dataclasses.replace(table, network=small.network)

"""Sensitivity of RMTL on PLE to its settings, with small networks.

    rmtl compare --config=experiments/tables/sensitivity_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/sensitivity_small

and on simulated sessions, which it draws itself where no data is named:

    rmtl compare --config=experiments/tables/sensitivity_small.py \
      --workdir=runs/sensitivity_simulated

Time, an estimate for two CPU cores: 40 minutes on a RetailRocket log with
45,217 train rows, no more on 60,000 simulated rows. Methods, seeds
and budget are those of sensitivity.py. Expected: nothing from the paper, whose
data is larger; what we measured is in experiments/results/.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags


def get_config() -> config_lib.Config:
  """The table's settings with the small networks."""
  here = pathlib.Path(__file__).parent
  table = config_flags.load(str(here / 'sensitivity.py'))
  small = config_flags.load(str(here / 'small.py'))
  return dataclasses.replace(table, network=small.network)

"""Sensitivity of RMTL on PLE to its settings, with small networks.

    rmtl compare --config=experiments/tables/sensitivity_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/sensitivity_small

and on simulated sessions, which it draws itself where no data is named:

    rmtl compare --config=experiments/tables/sensitivity_small.py \
      --workdir=runs/sensitivity_simulated

Time on two CPU cores: 57 minutes measured on a RetailRocket log with 45,217
train rows, while other jobs took half of the cores (29 minutes of CPU time).
Methods, seeds and budget are those of sensitivity.py. Expected there (5
seeds): no setting's AUC differs by more than 1.7e-4 from the fine-tuned
controls on average, and every interval over seeds holds 0. The whole result:
experiments/results/retailrocket_small/sensitivity.md.
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

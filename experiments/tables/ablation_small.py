"""Ablation of the weights on PLE, with small networks and tests.

    rmtl compare --config=experiments/tables/ablation_small.py \
      --data_dir=data/retailrocket_small --workdir=runs/ablation_small

and on simulated sessions, which it draws itself where no data is named:

    rmtl compare --config=experiments/tables/ablation_small.py \
      --workdir=runs/ablation_simulated

Time on two CPU cores: 25 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Methods, seeds and budget
are those of ablation.py. Expected there (16 seeds): no method passes. RMTL
minus constant weights is +1.3e-4 click AUC and +0.8e-4 conversion AUC, minus
the pre-trained model +0.1e-4 and -1.0e-4; WL minus the pre-trained model -6e-4
and -4e-4. The whole result:
experiments/results/retailrocket_small/ablation.md.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags


def get_config() -> config_lib.Config:
  """The table's settings with the small networks."""
  here = pathlib.Path(__file__).parent
  table = config_flags.load(str(here / 'ablation.py'))
  small = config_flags.load(str(here / 'small.py'))
  return dataclasses.replace(table, network=small.network)

"""Ablation of the weights, on PLE, with tests.

    rmtl compare --config=experiments/tables/ablation.py \
      --data_dir=data/retailrocket --workdir=runs/ablation

All methods are fine-tuned from the same pre-trained models for the same number
of steps:

- ple+critic: RMTL, weights 1 - lambda Q
- ple+constant: the paper's CW, weights 1
- ple+label_times_q: the paper's WL, weights 1 - lambda y Q
- ple+negative_q: the paper's NLC, weights -Q
- ple+constant_mean, ple+q_shuffled: controls that the paper lacks: the mean of
  RMTL's weights per task, and RMTL's weights permuted over the rows

The paper reports that the full method is better than CW, WL and NLC.

With the paper's networks and RetailRocket this takes a day and a half on two
CPU cores. `ablation.py:small` takes small networks (sizes.py): 25 minutes with
45,217 train rows. There, no method passes (16 seeds);
experiments/results/retailrocket_small/ablation.md has the report.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

_PAPER = config_lib.preset('paper')


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return dataclasses.replace(
    _PAPER,
    network=config_flags.load(f'{sizes}:{size}').network,
    # As the results were made.
    critic=dataclasses.replace(_PAPER.critic, in_finetune='learning', l2=1e-6),
    finetune=dataclasses.replace(_PAPER.finetune, max_epochs=3),
    compare=config_lib.CompareConfig(
      methods=(
        'ple+constant',
        'ple+label_times_q',
        'ple+negative_q',
        'ple+critic',
        'ple+constant_mean',
        'ple+q_shuffled',
      ),
      seeds=tuple(range(16)),
      learning_rates=(1e-3, 3e-4, 1e-4),
      tuning_seeds=4,
    ),
  )

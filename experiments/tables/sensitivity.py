"""Sensitivity of RMTL on PLE to its settings, one at a time.

    rmtl compare --config=experiments/tables/sensitivity.py \
      --data_dir=data/retailrocket --workdir=runs/sensitivity

Each setting differs from RMTL with lambda 0.7, gamma 0.95, soft update 0.2 and
critics that continue to learn in stage 3, and has its own controls. The paper
recommends lambda 0.7 and gamma 0.95.

With the paper's networks and RetailRocket this takes over two days on two CPU
cores. `sensitivity.py:small` takes small networks (sizes.py): 57 minutes with
45,217 train rows. There, no setting differs from its controls by more than
1.7e-4 AUC (five seeds), and all intervals include 0.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

_PAPER = config_lib.preset('paper')

# Setting -> values beside that of `ple+critic`.
VALUES = {
  'weighting.lambda_': (0.1, 0.3, 0.5, 0.9, 1.0),
  'critic.discount': (0.0, 0.5, 0.9, 0.99),
  'critic.soft_update': (0.05, 1.0),
  'critic.behaviour': ('uniform',),
  'critic.head': ('linear', 'neg_relu'),
  'critic.in_finetune': ('frozen',),
}


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
        'ple+critic',
        *(
          f'ple+critic:{setting}={value}'
          for setting, values in VALUES.items()
          for value in values
        ),
      ),
      seeds=tuple(range(5)),
      learning_rates=(3e-4,),
      tuning_seeds=1,
    ),
  )

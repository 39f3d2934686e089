"""Seven backbones, DDPG and RMTL, with the paper's sizes.

    rmtl compare --config=experiments/tables/overall.py \
      --data_dir=data/retailrocket --workdir=runs/overall

The backbones are pre-trained. DDPG fine-tunes PLE (D-PLE); RMTL fine-tunes
ESMM, MMoE and PLE; DDPG and RMTL have their controls. The paper reports (test
AUC):

| data         | task       | baseline      | RMTL                        |
|--------------|------------|---------------|-----------------------------|
| RetailRocket | click      | MMoE 0.7309   | MMoE 0.7350, PLE 0.7339     |
| RetailRocket | conversion | PLE 0.7387    | PLE 0.7419                  |
| KuaiRand-1K  | click      | PLE 0.7026    | PLE 0.7053                  |
| KuaiRand-1K  | conversion | ESMM 0.7350   | ESMM 0.7377                 |

With the paper's networks and RetailRocket this takes a day on two CPU cores.
`overall.py:small` takes small networks (sizes.py): 22 minutes with 45,217 train
rows. There, all backbones have 0.588 to 0.592 click AUC and 0.597 to 0.603
conversion AUC (five seeds), RMTL is within 8e-4 of its controls with intervals
that include 0, and DDPG loses 37e-4 and 30e-4;
experiments/results/retailrocket_small/overall.md has the report.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

_PAPER = config_lib.preset('paper')

BACKBONES = (
  'single_task',
  'shared_bottom',
  'esmm',
  'mmoe',
  'ple',
  'omoe',
  'aitm',
)


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
        *BACKBONES,
        'ple+ddpg',
        'esmm+critic',
        'mmoe+critic',
        'ple+critic',
      ),
      seeds=tuple(range(5)),
      learning_rates=(1e-3, 3e-4, 1e-4),
      tuning_seeds=2,
    ),
  )

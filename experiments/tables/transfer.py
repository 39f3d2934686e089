"""Transfer: critics of one backbone weight the losses of another.

    rmtl compare --config=experiments/tables/transfer.py \
      --data_dir=data/retailrocket --workdir=runs/transfer

`ple+critic@esmm` is PLE with weights from ESMM's critics, which stay frozen.
The paper reports gains from such critics.

With the paper's networks and RetailRocket this takes a day and a half on two
CPU cores. `transfer.py:small` takes small networks (sizes.py): 22 minutes with
45,217 train rows. There, no transferred critic differs from its controls by
more than its interval (five seeds), except for +1.7e-4 conversion AUC of MMoE
over constant weights.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

_PAPER = config_lib.preset('paper')

BACKBONES = ('esmm', 'mmoe', 'ple')


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return dataclasses.replace(
    _PAPER,
    network=config_flags.load(f'{sizes}:{size}').network,
    # l2 as the results were made.
    critic=dataclasses.replace(_PAPER.critic, in_finetune='frozen', l2=1e-6),
    finetune=dataclasses.replace(_PAPER.finetune, max_epochs=3),
    compare=config_lib.CompareConfig(
      methods=tuple(
        f'{actor}+critic@{critic}'
        for actor in BACKBONES
        for critic in BACKBONES
      ),
      seeds=tuple(range(5)),
      learning_rates=(1e-3, 3e-4, 1e-4),
      tuning_seeds=1,
    ),
  )

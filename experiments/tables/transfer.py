"""Transfer: critics of one backbone weigh the losses of another.

    rmtl compare --config=experiments/tables/transfer.py \
      --data_dir=data/retailrocket --workdir=runs/transfer_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket.
Time, an estimate for two CPU cores: RetailRocket
a day and a half, KuaiRand-Pure about as long, KuaiRand-1K one to two
weeks, so take a GPU there.

Rows: for each of ESMM, MMoE and PLE, RMTL with the critics that were trained
for ESMM, for MMoE and for PLE (`ple+critic@esmm`: PLE weighed by ESMM's), and
their controls. The critics stay as stage 2 left them, so that they remain those
of the other backbone. Five seeds; add --seeds=0,1,...,15 for tests.

Expected, from the paper: transferred critics help as well, on its data. Not run
by us with the paper's sizes: the full data was not at hand.

With small networks (sizes.py); without --data_dir it simulates sessions:

    rmtl compare --config=experiments/tables/transfer.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/transfer_small

Time on two CPU cores: 22 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Expected there (5 seeds):
no transferred critic differs from its controls by more than its interval, but
for mmoe+critic's +1.7e-4 conversion AUC over constant weights. The whole
result: experiments/results/retailrocket_small/transfer.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

BACKBONES = ('esmm', 'mmoe', 'ple')


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    # l2 as the results were made.
    critic=config_lib.CriticConfig(in_finetune='frozen', l2=1e-6),
    finetune=config_lib.FinetuneConfig(max_epochs=3),
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

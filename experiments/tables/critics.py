"""Critics that know something, and weights built on them, on PLE.

    rmtl compare --config=experiments/tables/critics.py \
      --data_dir=data/retailrocket --workdir=runs/critics

The critics of the other tables know less of the realised returns than their
mean (R2 -0.4 and -0.3 on a RetailRocket log). Those of this one learn from
realised returns (TD(1)), start from their mean, are told how many rows of the
session are left, and keep the pass that comes nearest to the returns. Each
form of weights is compared with its four controls: the pre-trained model,
constant weights, RMTL's mean weight, and its own weights shuffled over rows.
One learning rate, the one that was best for most methods of the ablation.

Expected: nothing from the paper, which has no such table. Not run by us with
the paper's sizes: the full data was not at hand.

With small networks (sizes.py):

    rmtl compare --config=experiments/tables/critics.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/critics_small

Time: about 40 minutes on one busy CPU core with 45,217 train rows. Expected
there (16 seeds): the critics' R2 is +0.19 and +0.13; no method passes;
`advantage` comes nearest, +6.6e-4 click and +4.0e-4 conversion over the
pre-trained model (experiments/results/retailrocket_small/critics.md).
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, critics, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    critic=config_lib.CriticConfig(
      td_lambda=1.0,
      initial_value='mean_return',
      sees_remaining=True,
      stopping='return_error',
      in_finetune='learning',  # this and l2 as the results were made
      l2=1e-6,
    ),
    finetune=config_lib.FinetuneConfig(max_epochs=3),
    compare=config_lib.CompareConfig(
      methods=(
        'ple+critic',
        'ple+advantage',
      ),
      seeds=tuple(range(16)),
      learning_rates=(3e-4,),
    ),
  )

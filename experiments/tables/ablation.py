"""Ablation of the weights, on PLE, with tests.

    rmtl compare --config=experiments/tables/ablation.py \
      --data_dir=data/retailrocket --workdir=runs/ablation_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket.
Time, an estimate for two CPU cores: RetailRocket
a day and a half, KuaiRand-Pure about as long, KuaiRand-1K one to two
weeks, so take a GPU there.

Rows, all fine-tuned from the same pre-trained models, for the same number of
steps:

- ple+critic: RMTL, weights 1 - lambda Q
- ple+constant: the paper's CW, weights 1
- ple+label_times_q: the paper's WL, weights 1 - lambda y Q
- ple+negative_q: the paper's NLC, weights -Q
- ple+constant_mean, ple+q_shuffled: controls that the paper lacks: the mean of
  RMTL's weights per task, and RMTL's weights permuted over the rows

Expected, from the paper: the full method beats CW, WL and NLC on its data. Not
run by us with the paper's sizes: the full data was not at hand.

With small networks (sizes.py); without --data_dir it simulates sessions:

    rmtl compare --config=experiments/tables/ablation.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/ablation_small

Time on two CPU cores: 25 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Expected there (16 seeds):
no method passes. RMTL minus constant weights is +1.3e-4 click AUC and +0.8e-4
conversion AUC, minus the pre-trained model +0.1e-4 and -1.0e-4; WL minus the
pre-trained model -6e-4 and -4e-4. The whole result:
experiments/results/retailrocket_small/ablation.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    # As the results were made.
    critic=config_lib.CriticConfig(in_finetune='learning', l2=1e-6),
    finetune=config_lib.FinetuneConfig(max_epochs=3),
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

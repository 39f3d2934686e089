"""Sensitivity of RMTL on PLE to its settings, one at a time.

    rmtl compare --config=experiments/tables/sensitivity.py \
      --data_dir=data/retailrocket --workdir=runs/sensitivity_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket.
Time, an estimate for two CPU cores: RetailRocket
over two days, KuaiRand-Pure about as long, KuaiRand-1K one to two
weeks, so take a GPU there.

Rows: RMTL with lambda 0.7, gamma 0.95, soft update 0.2, behaviour policy, head
neg_softplus and critics that learn along in stage 3, and with one of them
changed; each with its own controls, since they change with it. Five seeds; all
at one learning rate, --config.compare.learning_rates=... for another. Add
--seeds=0,1,...,15 for tests.

Expected: the paper takes lambda 0.7 and gamma 0.95. Not run by us with the
paper's sizes: the full data was not at hand.

With small networks (sizes.py); without --data_dir it simulates sessions:

    rmtl compare --config=experiments/tables/sensitivity.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/sensitivity_small

Time on two CPU cores: 57 minutes measured on a RetailRocket log with 45,217
train rows, while other jobs took half of the cores (29 minutes of CPU time).
Expected there (5 seeds): no setting's AUC differs by more than 1.7e-4 from the
fine-tuned controls on average, and every interval over seeds holds 0. The whole
result: experiments/results/retailrocket_small/sensitivity.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

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
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    # As the results were made.
    critic=config_lib.CriticConfig(in_finetune='learning', l2=1e-6),
    finetune=config_lib.FinetuneConfig(max_epochs=3),
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

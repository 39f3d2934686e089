"""Overall performance, with the paper's sizes.

    rmtl compare --config=experiments/tables/overall.py \
      --data_dir=data/retailrocket --workdir=runs/overall_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket.
Time, an estimate for two CPU cores: RetailRocket
a day, KuaiRand-Pure about as long, KuaiRand-1K one to two
weeks, so take a GPU there.

Rows: seven backbones as they are pre-trained; DDPG on PLE (D-PLE); RMTL on
ESMM, MMoE and PLE; and the controls of DDPG and RMTL. Five seeds give means
and intervals; add --seeds=0,1,...,15 for tests.

Expected, from the paper (test AUC):

| data         | task       | baseline      | RMTL                        |
|--------------|------------|---------------|-----------------------------|
| RetailRocket | click      | MMoE 0.7309   | MMoE 0.7350, PLE 0.7339     |
| RetailRocket | conversion | PLE 0.7387    | PLE 0.7419                  |
| KuaiRand-1K  | click      | PLE 0.7026    | PLE 0.7053                  |
| KuaiRand-1K  | conversion | ESMM 0.7350   | ESMM 0.7377                 |

A gain counts against all four controls, not against the pre-trained rows alone.
Not run by us with the paper's sizes: the full data was not at hand.

With small networks (sizes.py); without --data_dir it simulates sessions:

    rmtl compare --config=experiments/tables/overall.py:small \
      --data_dir=data/retailrocket_small --workdir=runs/overall_small

Time on two CPU cores: 22 minutes measured on a RetailRocket log with 45,217
train rows, while a second comparison ran beside it. Expected there (5 seeds):
all backbones within 0.588 to 0.592 click AUC and 0.597 to 0.603 conversion AUC,
PLE first; RMTL within 8e-4 of its controls with intervals that hold 0; DDPG
37e-4 and 30e-4 below the pre-trained PLE. The whole result:
experiments/results/retailrocket_small/overall.md.

On 126,184 rows of KuaiRand (75,680 train rows, click and long view; how to
prepare them: experiments/results/README.md), 25 minutes: all backbones within
0.654 to 0.656 click AUC, where the table of rates has 0.656, and but for
single_task (0.650) within 0.672 to 0.673 long-view AUC (rates: 0.651); RMTL
within 6e-4 of its controls, DDPG within 4e-4 of its. The whole result:
experiments/results/kuairand_sequence/overall.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

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
  return config_lib.Config(
    network=config_flags.load(f'{sizes}:{size}').network,
    # As the results were made.
    critic=config_lib.CriticConfig(in_finetune='learning', l2=1e-6),
    finetune=config_lib.FinetuneConfig(max_epochs=3),
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

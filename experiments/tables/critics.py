"""Critics that predict the returns, and weights built on them, on PLE.

    rmtl compare --config=experiments/tables/critics.py \
      --data_dir=data/retailrocket --workdir=runs/critics

The critics of the other tables predict the returns worse than their mean (R2
-0.4 and -0.3 on a RetailRocket log). These learn from observed returns (TD(1)),
start from their mean, get the number of remaining rows as an input, and keep
the pass that is nearest to the returns. The paper has no such table.

`critics.py:small` takes small networks (sizes.py): 40 minutes on one CPU core
with 45,217 train rows. There, the critics' R2 is 0.19 and 0.13, and no method
passes (16 seeds); experiments/results/retailrocket_small/critics.md has the
report.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags

_PAPER = config_lib.preset('paper')


def get_config(size: str = 'paper') -> config_lib.Config:
  """The table's methods, critics, seeds and budget.

  Args:
    size: of the networks, `paper` or `small`: see sizes.py.
  """
  sizes = pathlib.Path(__file__).with_name('sizes.py')
  return dataclasses.replace(
    _PAPER,
    network=config_flags.load(f'{sizes}:{size}').network,
    critic=dataclasses.replace(
      _PAPER.critic,
      td_lambda=1.0,
      initial_value='mean_return',
      sees_remaining=True,
      stopping='return_error',
      in_finetune='learning',  # this and l2 as the results were made
      l2=1e-6,
    ),
    finetune=dataclasses.replace(_PAPER.finetune, max_epochs=3),
    compare=config_lib.CompareConfig(
      methods=(
        'ple+critic',
        'ple+advantage',
      ),
      seeds=tuple(range(16)),
      learning_rates=(3e-4,),
    ),
  )

"""Recipe for simulated sessions.

    rmtl prepare --source=simulated \
      --as_of=all --data_dir=data/simulated
    rmtl train --config=experiments/configs/simulated_best.py \
      --data_dir=data/simulated --workdir=runs/simulated_best

Chosen on validation of simulated seed 0. Measured on 300,000 rows of seeds that
were not looked at before (--simulated_seed=1 and 2), mean test AUC of both
tasks: plain PLE of the same size 0.710 and 0.688, with as-of features 0.739 and
0.715, this recipe 0.776 and 0.729, oracle 0.878 and 0.846. It closes 40 % and
26 % of the gap to the oracle (two seeds and one of the model, so no claim). All
of it: experiments/results/recipes/simulated_seed1.md, simulated_seed2.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags

# Over plain.py.
SETTINGS = {
  'network.embedding_scale': 0.3,
  'network.ignore': '',
  'network.session_encoder': 'mean',
  'pretrain.embedding_l2': 0.003,
  'pretrain.learning_rate': 0.002,
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_lib.with_settings(plain, SETTINGS)

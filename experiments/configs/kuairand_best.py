"""Recipe for KuaiRand.

    rmtl prepare --source=kuairand --raw_dir=raw/KuaiRand-Pure/data \
      --as_of=all --data_dir=data/kuairand
    rmtl train --config=experiments/configs/kuairand_best.py \
      --data_dir=data/kuairand --workdir=runs/kuairand_best

Not measured: the logs at hand have 131 rows. A start for `rmtl tune`, with
as-of features (KuaiRand does not tell when its labels become known, so
`feedback` is left out) and the little L2 on embeddings that gained a little on
RetailRocket.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values

# Over plain.py.
SETTINGS = {
  'network.ignore': '',
  'pretrain.embedding_l2': 0.0001,
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_values.with_settings(plain, SETTINGS)

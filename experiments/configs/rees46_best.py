"""Recipe for REES46's store log.

    rmtl prepare --source=rees46 --raw_dir=raw/rees46 \
      --as_of=all --data_dir=data/rees46
    rmtl train --config=experiments/configs/rees46_best.py \
      --data_dir=data/rees46 --workdir=runs/rees46_best

As-of features, and nothing else: the best of four candidates on validation
(mean AUC 0.645, plain PLE 0.608).
Measured on the first 17,434 events of 2019-Oct.csv (6,107 / 1,767 / 2,464 rows,
about 40 test positives, so no claim), test AUC of 16 paired seeds, click and
conversion: plain PLE 0.549 and 0.560; this recipe +0.040 +- 0.017 and +0.034 +-
0.015 (95 % intervals over sessions +0.020 to +0.061 and +0.011 to +0.053). Wide
embeddings with strong L2, which gain on the other sources, lose 0.06 to 0.09
here: three batches an epoch do not shrink them. All of it:
experiments/results/recipes/rees46.md.
"""

import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax import config_flags, config_values

# Over plain.py.
SETTINGS = {
  'network.ignore': '',
}


def get_config() -> config_lib.Config:
  """The settings."""
  plain = config_flags.load(str(pathlib.Path(__file__).parent / 'plain.py'))
  return config_values.with_settings(plain, SETTINGS)

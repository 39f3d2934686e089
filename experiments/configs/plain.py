"""Plain PLE with small networks: what the recipes beside this are judged by.

    rmtl train --config=experiments/configs/plain.py \
      --data_dir=data/mine --workdir=runs/plain

It ignores as-of features, so that it runs on the same prepared data as the
recipes. Sizes are the small ones of experiments/tables/sizes.py.
"""

import dataclasses
import pathlib

from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags


def get_config() -> config_lib.Config:
  """The settings."""
  sizes = pathlib.Path(__file__).parents[1] / 'tables' / 'sizes.py'
  small = config_flags.load(f'{sizes}:small')
  return dataclasses.replace(
    small,
    backbone='ple',
    network=dataclasses.replace(small.network, ignore='asof'),
    pretrain=dataclasses.replace(small.pretrain, max_epochs=40),
  )

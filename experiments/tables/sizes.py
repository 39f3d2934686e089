"""Sizes of the tables' networks: the paper's, or small ones.

The small ones are for tens of thousands of train rows. PLE trains about 25,000
rows/s with them on two cores, five times as many as with the paper's.

    rmtl train --config=experiments/tables/sizes.py:small \
      --config.backbone=ple --data_dir=data/retailrocket_small \
      --workdir=runs/small
"""

import dataclasses

from rmtl_jax import config as config_lib
from rmtl_jax import types

_PAPER = config_lib.preset('paper')

SIZES = {
  'paper': _PAPER.network,
  'small': dataclasses.replace(
    _PAPER.network,
    embedding_dim=16,
    bottom_units=(128, 64),
    tower_units=(64, 32),
    num_experts=4,
  ),
}


def get_config(size: str = 'paper') -> config_lib.Config:
  """The paper's settings with networks of a size.

  Args:
    size: a key of SIZES, the text after the colon in `--config=FILE.py:SIZE`.

  Raises:
    types.InputError: no such size.
  """
  if size not in SIZES:
    raise types.InputError(
      f'--config=FILE.py:SIZE: {size!r} is not one of {", ".join(SIZES)}'
    )
  return dataclasses.replace(_PAPER, network=SIZES[size])

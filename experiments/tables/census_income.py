"""Census-Income (KDD): income above 50,000, and never married.

    rmtl prepare --source=census_income --raw_dir=raw/census_income \
      --min_count=1 --data_dir=data/census_income
    rmtl compare --config=experiments/tables/census_income.py \
      --data_dir=data/census_income --workdir=runs/census_income

The setting is that of IJANMC, 2024 (doi 10.2478/ijanmc-2024-0005): batches of
256, Adam with learning rate 1e-3, embeddings of 4, layers 512-256. The networks
have dropout in place of batch normalisation and towers of 128-64, and
validation decides when to stop. docs/public_logs.md has the published figures
next to ours.
"""

import dataclasses

from rmtl_jax import config as config_lib

_PAPER = config_lib.preset('paper')

BACKBONES = ('single_task', 'shared_bottom', 'mmoe', 'ple')


def get_config() -> config_lib.Config:
  """The table's backbones, seeds and settings."""
  return dataclasses.replace(
    _PAPER,
    network=dataclasses.replace(_PAPER.network, embedding_dim=4),
    # Every row is a session of its own: 256 rows of a batch.
    batch=dataclasses.replace(_PAPER.batch, lanes=32, lane_length=8),
    compare=config_lib.CompareConfig(methods=BACKBONES, seeds=tuple(range(5))),
  )

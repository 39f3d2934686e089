"""Census-Income (KDD): income above 50,000, and never married.

    rmtl prepare --source=census_income --raw_dir=raw/census_income \
      --min_count=1 --data_dir=data/census_income
    rmtl compare --config=experiments/tables/census_income.py \
      --data_dir=data/census_income --workdir=runs/census_income

How to get the data: docs/public_logs.md. Published (test AUC, income / never
married; IJANMC, 2024, doi 10.2478/ijanmc-2024-0005: batches of 256, Adam
with learning rate 1e-3, embeddings of 4, layers 512-256, batch normalisation):

| method        | published     |
|---------------|---------------|
| single task   | .9198 / .9748 |
| shared bottom | .9148 / .9754 |
| MMoE          | .9152 / .9756 |
| PLE           | .9161 / .9764 |

Theirs are the official files: 199,523 rows of train, 99,762 of test. Here the
networks have dropout in the place of batch normalisation, towers of 128-64, and
validation decides when to stop.

Ours, where the train file was not at hand: the test file alone, its rows split
6:2:2 at random, so 59,858 rows of train and 19,952 of test. Expected there (5
seeds): all four within .9467 to .9485 income, PLE first, 18e-4 +- 6e-4 above
shared bottom; never married .9942 for each. That is .03 and .02 above the
published figures, and near what PaddleRec reports for MMoE on the official
split (.9447 / .9932, mean over its epochs); why the published ones are lower we
do not know. The whole result: experiments/results/census_income/.

Time: 49 minutes on two cores that eight other processes used too, of which a
run of single task or shared bottom took 16 to 46 seconds, one of MMoE or PLE
three to seven minutes.
"""

from rmtl_jax import config as config_lib

BACKBONES = ('single_task', 'shared_bottom', 'mmoe', 'ple')


def get_config() -> config_lib.Config:
  """The table's backbones, seeds and settings."""
  return config_lib.Config(
    network=config_lib.NetworkConfig(embedding_dim=4),
    # Every row is a session of its own: 256 rows of a batch.
    batch=config_lib.BatchConfig(lanes=32, lane_length=8),
    compare=config_lib.CompareConfig(methods=BACKBONES, seeds=tuple(range(5))),
  )

"""Transfer: critics of one backbone weigh the losses of another.

    rmtl compare --config=experiments/tables/transfer.py \
      --data_dir=data/retailrocket --workdir=runs/transfer_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket; how to get the
data: docs/full_data.md. Time, an estimate for two CPU cores: RetailRocket
a day and a half, KuaiRand-Pure about as long, KuaiRand-1K one to two
weeks, so take a GPU there.

Rows: for each of ESMM, MMoE and PLE, RMTL with the critics that were trained
for ESMM, for MMoE and for PLE (`ple+critic@esmm`: PLE weighed by ESMM's), and
their controls. The critics stay as stage 2 left them, so that they remain those
of the other backbone. Five seeds; add --seeds=0,1,...,15 for tests.

Expected, from the paper: transferred critics help as well, on its data. Not run
by us: the full data was not at hand.
"""

from rmtl_jax import config as config_lib

BACKBONES = ('esmm', 'mmoe', 'ple')


def get_config() -> config_lib.Config:
  """The table's methods, seeds and budget."""
  return config_lib.Config(
    # l2 as the results were made.
    critic=config_lib.CriticConfig(in_finetune='frozen', l2=1e-6),
    finetune=config_lib.StageConfig(max_epochs=3),
    compare=config_lib.CompareConfig(
      methods=tuple(
        f'{actor}+critic@{critic}'
        for actor in BACKBONES
        for critic in BACKBONES
      ),
      seeds=tuple(range(5)),
      learning_rates=(1e-3, 3e-4, 1e-4),
      tuning_seeds=1,
    ),
  )

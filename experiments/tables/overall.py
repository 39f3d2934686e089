"""Overall performance, with the paper's sizes.

    rmtl compare --config=experiments/tables/overall.py \
      --data_dir=data/retailrocket --workdir=runs/overall_retailrocket

and the same with kuairand_1k or kuairand_pure for retailrocket; how to get the
data: docs/full_data.md. Time, an estimate for two CPU cores: RetailRocket
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
Not run by us: the full data was not at hand.
"""

from rmtl_jax import config as config_lib

BACKBONES = (
  'single_task',
  'shared_bottom',
  'esmm',
  'mmoe',
  'ple',
  'omoe',
  'aitm',
)


def get_config() -> config_lib.Config:
  """The table's methods, seeds and budget."""
  return config_lib.Config(
    # As the results were made.
    critic=config_lib.CriticConfig(in_finetune='learning', l2=1e-6),
    finetune=config_lib.StageConfig(max_epochs=3),
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

"""AliExpress as MTReclib measures it: six backbones, one country at a time.

    rmtl prepare --source=aliexpress --raw_dir=raw/AliExpress_NL \
      --min_count=1 --data_dir=data/aliexpress_nl
    rmtl compare --config=experiments/tables/aliexpress.py \
      --data_dir=data/aliexpress_nl --workdir=runs/aliexpress_nl

and the same with ES, FR and US; how to get the data: docs/public_logs.md. Take
a GPU: the data has more than ten million rows a country.

Their settings: the official split by files, embeddings of 128, batches of
2,048, bottom 512-256, towers 128-64, 8 experts (PLE: 4 shared and 4 of each
task), dropout 0.2, Adam with learning rate 1e-3 and weight decay 1e-6, up to 50
epochs, the mean of 5 seeds. Two things differ, on purpose. They stop when the
mean AUC has not risen on the test file for two epochs, and report the best
epoch there; here a tenth of train's searches is validation, which decides, and
test is read once. And numbers are normalised to zero mean and unit deviation.

Published (test AUC, CTR / CTCVR; README of easezyc/Multitask-Recommendation-
Library, table "Results"), beside the place for ours:

| method        | NL            | ES            | FR            | US            | ours |
|---------------|---------------|---------------|---------------|---------------|------|
| single task   | .7222 / .8590 | .7266 / .8855 | .7259 / .8737 | .7061 / .8637 |      |
| shared bottom | .7228 / .8511 | .7287 / .8866 | .7245 / .8700 | .7029 / .8698 |      |
| OMoE          | .7254 / .8611 | .7253 / .8859 | .7257 / .8781 | .7049 / .8701 |      |
| MMoE          | .7234 / .8606 | .7285 / .8898 | .7216 / .8811 | .7043 / .8758 |      |
| PLE           | .7292 / .8591 | .7273 / .8913 | .7276 / .8805 | .7138 / .8675 |      |
| AITM          | .7240 / .8577 | .7290 / .8885 | .7236 / .8763 | .7048 / .8730 |      |

Not run by us: the files were not at hand.
"""  # noqa: E501

from rmtl_jax import config as config_lib

BACKBONES = ('single_task', 'shared_bottom', 'omoe', 'mmoe', 'ple', 'aitm')


def get_config() -> config_lib.Config:
  """The table's backbones, seeds and settings."""
  # The rest of the settings are the package's own: those of the paper of RMTL,
  # which took them from MTReclib.
  return config_lib.Config(
    pretrain=config_lib.PretrainConfig(max_epochs=50, patience=2),
    compare=config_lib.CompareConfig(methods=BACKBONES, seeds=tuple(range(5))),
  )

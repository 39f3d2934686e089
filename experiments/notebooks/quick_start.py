# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#       jupytext_version: 1.19.6
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # RMTL in JAX: quick start
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/rmtl_jax/blob/main/experiments/notebooks/quick_start.ipynb)
#
# A shop shows items to its users, session by session. For every impression a
# model predicts a *click* and a *conversion*. RMTL trains it in three stages:
#
# 1. **pre-train** the multi-task model, the *actor*, on both losses;
# 2. train **critics** that foresee, at every row, how badly the rest of the
#    session will be predicted;
# 3. **fine-tune** the actor with each row's loss of each task weighed by its
#    critic: `1 - lambda * Q`, and `Q <= 0`.
#
# The sessions are simulated, so the true probabilities are known, and with
# them the best that any model can reach: the *oracle*.
#
# Takes a few minutes on two CPU cores. It runs on CPU, GPU or TPU as found;
# so far it has been run on CPU only, neither on a GPU or TPU nor on Colab.

# %%
# Installs the package where it is missing, as on Colab.
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

SOURCE = 'git+https://github.com/OWNER/rmtl_jax'
if importlib.util.find_spec('rmtl_jax') is None:
  tpu = os.path.exists('/dev/accel0') or os.path.exists('/dev/vfio/0')
  extra = '[gpu]' if shutil.which('nvidia-smi') else '[tpu]' if tpu else ''
  pip = [sys.executable, '-m', 'pip', 'install', '-q']
  subprocess.run([*pip, f'rmtl-jax{extra} @ {SOURCE}'], check=True)

import jax
from IPython import display

import rmtl_jax

# RMTL_QUICK=1 shrinks the run to a smoke test.
quick = os.environ.get('RMTL_QUICK') == '1'
print(f'Runs on {jax.devices()}')

# %%
import dataclasses

from rmtl_jax.preparation import summary
from rmtl_jax.report import pictures, tables
from rmtl_jax.runtime import writers

# %% [markdown]
# ## Sessions
#
# A hidden state (interest, mood, fatigue, budget) moves along every session and
# decides on clicks and conversions. The model sees users' and items' fields,
# never that state. Train, validation and test follow each other in time.

# %%
workdir = pathlib.Path('runs/quick_start')
data_dir = workdir / 'data'
live = rmtl_jax.Progress(sys.stdout)

if not (data_dir / 'manifest.json').exists():
  manifest = rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(
      source='simulated',
      data_dir=str(data_dir),
      simulated_rows=4_000 if quick else 200_000,
    ),
    live.step,
  )
  print(summary.summary(manifest))

# %% [markdown]
# ## Three stages
#
# The backbone is one of `single_task`, `shared_bottom`, `omoe`, `mmoe`, `ple`,
# `aitm` and `esmm`. Beside RMTL a control is fine-tuned with constant weights:
# same batches, same steps, so that a gain is the weights' and not the extra
# training's. Interrupted, or run again, this cell goes on where it was.

# %%
config = rmtl_jax.Config(backbone='mmoe')
if quick:
  config = dataclasses.replace(
    config,
    network=rmtl_jax.NetworkConfig(
      embedding_dim=8, bottom_units=(32,), tower_units=(16,), num_experts=2
    ),
    pretrain=rmtl_jax.PretrainConfig(learning_rate=0.01, max_epochs=3),
    critic=rmtl_jax.CriticConfig(max_passes=3),
    finetune=rmtl_jax.FinetuneConfig(max_epochs=1),
    batch=rmtl_jax.BatchConfig(lanes=4),
  )
record = rmtl_jax.train(config, workdir, data_dir, live=live)

# %% [markdown]
# ## What came out

# %%
display.display(tables.metrics_table(record))
for sentence in tables.sentences(record):
  print(sentence)

# %%
picture = workdir / 'report' / 'overview.png'
pictures.overview(record, writers.read_history(workdir), picture)
display.display(display.Image(str(picture)))

# %% [markdown]
# ## On from here
#
# - Your own log: `rmtl prepare --source=table --help`, then
#   `rmtl train --data_dir=...`.
# - Every setting: `rmtl train --helpfull`; here,
#   `rmtl_jax.Config(backbone='ple')` is the same as
#   `--config.backbone=ple` there.
# - What this run left: `runs/quick_start` holds its settings, checkpoints,
#   metrics and TensorBoard logs; `rmtl evaluate --workdir=runs/quick_start`
#   restores it.

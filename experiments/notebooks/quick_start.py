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
# Under three minutes on two CPU cores. It runs on CPU, GPU or TPU as found; so
# far it has been run on CPU only, neither on a GPU or TPU nor on Colab.

# %%
# Installs the package where it is missing, as on Colab; PACKAGE is where from.
import importlib.util
import os
import pathlib
import shutil
import subprocess
import sys

PACKAGE = 'git+https://github.com/OWNER/rmtl_jax'
if importlib.util.find_spec('rmtl_jax') is None:
  tpu = os.path.exists('/dev/accel0') or os.path.exists('/dev/vfio/0')
  extra = '[gpu]' if shutil.which('nvidia-smi') else '[tpu]' if tpu else ''
  pip = [sys.executable, '-m', 'pip', 'install', '-q']
  subprocess.run([*pip, f'rmtl-jax{extra} @ {PACKAGE}'], check=True)

import jax
from IPython import display

import rmtl_jax

# RMTL_QUICK=1 trains less, for a test.
quick = os.environ.get('RMTL_QUICK') == '1'
print(f'Runs on {jax.devices()}')

# %% [markdown]
# ## Sessions
#
# A hidden state (interest, mood, fatigue, budget) moves along every session and
# decides on clicks and conversions. The model sees users' and items' fields and
# what was known of them before a row, never that state. Train, validation and
# test follow each other in time.

# %%
import dataclasses

workdir = pathlib.Path('runs/quick_start')
data_dir = workdir / 'data'
live = rmtl_jax.Progress(sys.stdout)

manifest = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    source='simulated',
    data_dir=str(data_dir),
    simulated_rows=20_000,
    overwrite=True,
  ),
  live.step,
)
print(rmtl_jax.summary(manifest))

# %% [markdown]
# ## Three stages
#
# `recommended` chooses the settings by the number of rows and the fields, as
# `rmtl train` does: three models that predict as one (PLE with small networks
# without ids, PLE with them, and LightGBM's trees). Beside
# RMTL a control is fine-tuned with constant weights: same batches, same steps,
# so that a gain is the weights' and not the extra training's. Interrupted, or
# run again, this cell goes on where it was.

# %%
config = rmtl_jax.preset('recommended', manifest)
if quick:
  config = dataclasses.replace(
    config,
    pretrain=dataclasses.replace(config.pretrain, max_epochs=3),
    critic=dataclasses.replace(config.critic, max_passes=2),
    finetune=dataclasses.replace(config.finetune, max_epochs=1),
  )
record = rmtl_jax.train(config, workdir, data_dir, live=live)

# %% [markdown]
# ## What came out
#
# The first line is a table of rates without a network, which a model should
# beat; the last is the best that any model can reach.

# %%
display.display(rmtl_jax.metrics_table(record))
for sentence in rmtl_jax.sentences(record):
  print(sentence)

# %%
display.display(display.Image(str(rmtl_jax.draw_overview(workdir))))

# %% [markdown]
# ## On from here
#
# - Your own log: `docs/your_data.md`.
# - The critics and their weights: `inside_rmtl.ipynb`.
# - Every setting: `rmtl train --helpfull`; here,
#   `dataclasses.replace(config, backbone='mmoe')` is the same as
#   `--config.backbone=mmoe` there.
# - What this run left: `runs/quick_start` holds its settings, parameters,
#   metrics and TensorBoard logs; `rmtl evaluate --workdir=runs/quick_start`
#   restores it.

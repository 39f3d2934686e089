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
# # RMTL in JAX: do my tasks conflict?
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/rmtl_jax/blob/main/experiments/notebooks/balancers.ipynb)
#
# A multi-task model descends the mean of its tasks' losses. Where their
# gradients point in opposite directions, one task pays for another, and a
# balancer may help. Look first.
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
# ## Simulated sessions
#
# Put your own prepared data in their place (`own_data.ipynb`).

# %%
import dataclasses
import json

place = pathlib.Path('runs/balancers')
data_dir = place / 'data'
prepare = rmtl_jax.PrepareConfig(source='simulated', data_dir=str(data_dir))
prepare = dataclasses.replace(prepare, simulated_rows=20_000, overwrite=True)
print(rmtl_jax.summary(rmtl_jax.prepare(prepare)))

# %% [markdown]
# ## Look
#
# After every epoch a run notes the cosine of each pair of tasks' gradients, on
# the parameters that tasks share. Below 0 they conflict.

# %%
live = rmtl_jax.Progress(sys.stdout)
config = rmtl_jax.Config(
  preset='plain',
  backbone='mmoe',
  network=rmtl_jax.NetworkConfig(
    embedding_dim=8, bottom_units=(64, 32), tower_units=(16,), num_experts=4
  ),
  pretrain=rmtl_jax.PretrainConfig(learning_rate=0.005, max_epochs=60),
  batch=rmtl_jax.BatchConfig(lanes=8),
  evaluation=rmtl_jax.EvaluationConfig(bootstrap=0, monitor='logloss'),
)
rmtl_jax.train(config, place / 'run', data_dir, ['pretrain'], live)
for line in (place / 'run' / 'metrics.jsonl').read_text().splitlines():
  epoch = json.loads(line)
  cosine = epoch['gradient_cosine_click_and_conversion']
  print(f'epoch {epoch["epoch"]}: cosine {cosine:+.2f}')

# %% [markdown]
# `rmtl_jax.write_report(place / 'run')` draws them, with norms and weights.
#
# ## Balance, and compare
#
# `mmoe/pcgrad` is MMoE under PCGrad; `mmoe/static:...` has weights of your own.
# Two seeds show how a comparison reads; 16 make a claim.

# %%
methods = ['mmoe', 'mmoe/pcgrad', 'mmoe/famo']
methods += ['mmoe/static:pretrain.balancing.weights=1+4']
results = rmtl_jax.compare(
  place / 'compared',
  data_dir,
  methods=methods,
  seeds=[0] if quick else [0, 1],
  config=config,
  live=live,
)
for one in results['summary']:
  if one['metric'] == 'auc':
    print(f'{one["method"]:45} {one["task"]:12} {one["mean"]:.4f}')
display.display(display.Image(place / 'compared' / 'differences.png'))

# %% [markdown]
# All balancers, what they cost and what they gained where we measured:
# `docs/balancers.md`.

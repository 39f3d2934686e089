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
# # RMTL in JAX: what happens inside
#
# How sessions are packed, what the critics predict along a session, the
# weights that follow, and the controls that a gain has to beat.
#
# Three minutes on two CPU cores. It runs on the devices that JAX finds, and was
# run on CPUs so far.

# %%
# PACKAGE is a wheel (`python -m build`) or a folder of the source. JAX stays as
# it is where it is installed, as on Colab.
import importlib.util
import subprocess
import sys

PACKAGE = 'rmtl_jax-0.1.0-py3-none-any.whl'
if importlib.util.find_spec('rmtl_jax') is None:
  pip = [sys.executable, '-m', 'pip', 'install', '-q', f'{PACKAGE}[trees]']
  subprocess.run(pip, check=True)

import os
import pathlib

import jax
from IPython import display

import rmtl_jax

QUICK = os.environ.get('RMTL_QUICK') == '1'  # trains less, for a test
print(f'Runs on {jax.devices()}')

# %% [markdown]
# ## Sessions in lanes
#
# A *row* is an impression. A *lane* has 64 slots with whole sessions one after
# the other. The next state of a row is the next slot, so each network runs
# once per row, and no replay memory is needed. Each colour is a session; white
# slots are padding.

# %%
import dataclasses

import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
from matplotlib import pyplot as plt

place = pathlib.Path('runs/inside_rmtl')
manifest = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    source='simulated',
    data_dir=str(place / 'data'),
    simulated_rows=20_000,
    overwrite=True,
  )
)
train = pq.read_table(place / 'data' / 'train', columns=['session_id'])
_, rows = np.unique(train['session_id'], return_counts=True)
rows = np.random.default_rng(0).permutation(rows)
slots = 64
rows = rows[rows <= slots]  # longer ones are cut
lane, offset = rmtl_jax.pack_lanes(rows, slots)
lanes = np.full((lane.max() + 1, slots), -1)
for session, count in enumerate(rows):
  at = offset[session] + np.arange(count)
  lanes[lane[session], at] = session
shown = np.ma.masked_where(lanes[:8] < 0, lanes[:8] % 12)
plt.figure(figsize=(8, 2))
plt.imshow(shown, cmap='tab20', aspect='auto', interpolation='nearest')
plt.xlabel('slot')
plt.ylabel('lane')
plt.show()
print(f'{(lanes >= 0).mean():.1%} of all slots hold a row')

# %% [markdown]
# ## The three stages
#
# Pre-train the actor, train the critics, fine-tune by weighted losses. The
# control is fine-tuned with constant weights, on the same batches. The settings
# are the recommended ones for these data; the weights are those of the paper.

# %%
config = dataclasses.replace(
  rmtl_jax.resolve(rmtl_jax.Config(), manifest),
  weighting=rmtl_jax.WeightingConfig(name='critic'),
)
if QUICK:
  config = dataclasses.replace(
    config,
    ensemble=1,
    variants='',
    pretrain=dataclasses.replace(config.pretrain, max_epochs=3),
    critic=dataclasses.replace(config.critic, max_passes=2),
    finetune=dataclasses.replace(config.finetune, max_epochs=1),
  )
live = rmtl_jax.Progress(sys.stdout)
record = rmtl_jax.train(config, place / 'run', place / 'data', live=live)
display.display(rmtl_jax.metrics_table(record))

# %% [markdown]
# ## Q-values
#
# The reward of a row is minus its loss. Q is the critic's estimate of the
# discounted sum of this row's and the later rows' rewards. The plot shows the
# longest session of the validation rows: Q, and the observed return.

# %%
values = rmtl_jax.row_values(place / 'run', split='validation')
first = np.argmax(values.rows_left)
session = slice(first, first + values.rows_left[first] + 1)
for task, name in enumerate(manifest.task_names):
  (line,) = plt.plot(values.q_values[session, task], label=f'Q, {name}')
  observed = values.returns[session, task]
  plt.plot(observed, '--', color=line.get_color(), label=f'return, {name}')
plt.xlabel('row of the session')
plt.legend()
plt.show()
for name, r2 in record['critic']['r2'].items():
  print(f'{name}: R2 of Q against the returns {r2:.2f}')

# %% [markdown]
# ## The weights, and the controls
#
# RMTL multiplies a row's loss of a task by 1 - lambda Q, so rows with a large
# expected loss ahead of them count more. These weights differ from constant
# ones in three ways: they are larger, they are larger for one task than for
# another, and they differ between rows. Only the third comes from what the
# critics learned about rows. The controls remove it or the others:
#
# - **constant**: weights of 1;
# - **constant_mean**: per task, the mean of RMTL's weights;
# - **q_shuffled**: RMTL's own weights, at other rows of the batch.

# %%
q_values = jnp.asarray(values.q_values)[None]
cotangent = jnp.ones(q_values.shape)
seen = {
  'q_values': q_values,
  'mask': jnp.ones(q_values.shape[:2], bool),
  'key': jax.random.key(0),
}
rmtl = rmtl_jax.scale_by_critic(config.weighting.lambda_)
weights, _ = rmtl.update(cotangent, rmtl.init(cotangent), **seen)
shuffled = rmtl_jax.shuffle_weights(rmtl)
moved, _ = shuffled.update(cotangent, shuffled.init(cotangent), **seen)
constant = rmtl_jax.scale_by_task(weights.mean((0, 1)))
mean, _ = constant.update(cotangent, constant.init(cotangent))

left = values.rows_left
for name, by_row in (
  ('RMTL', weights),
  ('q_shuffled', moved),
  ('constant_mean', mean),
):
  total = np.bincount(left, np.asarray(by_row)[0, :, 0])
  plt.plot((total / np.bincount(left))[:20], label=name)
plt.xlabel('rows of the session that are left')
plt.ylabel(f'mean weight, {manifest.task_names[0]}')
plt.legend()
plt.show()

# %% [markdown]
# A gain is due to the critics only if it holds against all controls, over many
# seeds:
#
# ```
# rmtl compare --data_dir=data --workdir=runs/comparison \
#   --methods=ple+critic --seeds=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
# ```
#
# `docs/when_weighting_helps.md` has our results.

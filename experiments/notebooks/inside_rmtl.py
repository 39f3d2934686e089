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
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/rmtl_jax/blob/main/experiments/notebooks/inside_rmtl.ipynb)
#
# Sessions packed in lanes, what the critics foresee along a session, the
# weights that this makes, and the controls without which a gain says nothing.
#
# A few minutes on two CPU cores. It runs on CPU, GPU or TPU as found; so far it
# has been run on CPU only, neither on a GPU or TPU nor on Colab.

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
import jax.numpy as jnp
import numpy as np
from matplotlib import pyplot as plt

from rmtl_jax.data import batches, columns
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.ops import rewards
from rmtl_jax.report import tables
from rmtl_jax.runtime import workdir
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import saved
from rmtl_jax.training import splits as splits_lib

# %% [markdown]
# ## Sessions in lanes
#
# A *row* is an impression. A *lane* has 64 slots and holds whole sessions back
# to back: the next state of a row is the next slot, so that each network runs
# once per row, and there is no replay memory. Each colour is a session; white
# slots are padding.

# %%
place = pathlib.Path('runs/inside_rmtl')
if not (place / 'data' / 'manifest.json').exists():
  rmtl_jax.prepare(
    rmtl_jax.PrepareConfig(
      source='simulated',
      data_dir=str(place / 'data'),
      simulated_rows=4_000 if quick else 60_000,
      as_of=('none',),
    )
  )
config = rmtl_jax.Config(
  backbone='shared_bottom',
  network=rmtl_jax.NetworkConfig(
    embedding_dim=8, bottom_units=(32,), tower_units=(16,)
  ),
  pretrain=rmtl_jax.PretrainConfig(learning_rate=0.01, max_epochs=3),
  critic=rmtl_jax.CriticConfig(max_passes=3 if quick else 20),
  finetune=rmtl_jax.FinetuneConfig(max_epochs=1 if quick else 5),
  batch=rmtl_jax.BatchConfig(lanes=8 if quick else 32),
)
path = place / 'data'
manifest = manifest_lib.read(path)
train = columns.read_split(path, manifest, 'train')
plan = batches.Epoch(train.starts, (0, 1), 1, config.batch).plan
segment = plan.segment[0][:8]
shown = np.ma.masked_where(segment < 0, segment % 12)
plt.figure(figsize=(8, 2))
plt.imshow(shown, cmap='tab20', aspect='auto', interpolation='nearest')
plt.xlabel('slot')
plt.ylabel('lane')
plt.show()
print(f'{(plan.row >= 0).mean():.1%} of all slots hold a row')

# %% [markdown]
# ## The three stages
#
# Pre-train the actor, train the critics, fine-tune by weighted losses. Beside
# RMTL a control is fine-tuned with constant weights: same batches, same steps.

# %%
live = rmtl_jax.Progress(sys.stdout)
record = rmtl_jax.train(config, place / 'run', path, live=live)
display.display(tables.metrics_table(record))

# %% [markdown]
# ## What the critics foresee
#
# The reward of a row is minus its loss; Q is the discounted sum of this row's
# and the later rows' rewards that the critic expects. Below, the longest
# session of the validation rows: Q, and the return that came.

# %%
run = workdir.read(place / 'run')
models = models_lib.Models(run.manifest.feature_spec())
trained = saved.restore(run, models).results
validation = splits_lib.place(
  columns.read_split(path, manifest, 'validation'), config.batch
)
host = validation.host
policy = models.predict(config, trained['pretrain'].params, validation)
q_values = models.values(config, trained['critic'].params, validation, policy)
reward = np.asarray(rewards.log_likelihood(policy, host.labels))
returns = critic_statistics.discounted_returns(
  reward, host.session, config.critic.discount
)

longest = int(np.argmax(np.diff(host.starts)))
session = slice(host.starts[longest], host.starts[longest + 1])
for task, name in enumerate(manifest.task_names):
  (line,) = plt.plot(q_values[session, task], label=f'Q, {name}')
  color = line.get_color()
  plt.plot(returns[session, task], '--', color=color, label=f'return, {name}')
plt.xlabel('row of the session')
plt.legend()
plt.show()
for name, known in record['critic']['r2'].items():
  print(f'{name}: R2 of Q against the returns {known:.2f}')

# %% [markdown]
# ## The weights, and the controls
#
# RMTL multiplies a row's loss of a task by 1 - lambda Q: rows with much to lose
# ahead of them count more. These weights differ from constant ones in three
# ways: they are larger, they are larger for one task than for another, and
# they say which rows count. Only the third is what the critics know, and the
# controls take the others away:
#
# - **constant**: weights of 1;
# - **constant_mean**: per task, the mean of RMTL's weights;
# - **q_shuffled**: RMTL's own weights, at other rows of the batch.

# %%
cotangent = jnp.ones((1, *q_values.shape))
seen = {
  'q_values': jnp.asarray(q_values)[None],
  'mask': jnp.ones((1, len(q_values)), bool),
  'key': jax.random.key(0),
}
rmtl = rmtl_jax.scale_by_critic(config.weighting.lambda_)
weights, _ = rmtl.update(cotangent, rmtl.init(cotangent), **seen)
shuffled = rmtl_jax.shuffle_weights(rmtl)
moved, _ = shuffled.update(cotangent, shuffled.init(cotangent), **seen)
constant = rmtl_jax.scale_by_task(weights.mean((0, 1)))
mean, _ = constant.update(cotangent, constant.init(cotangent))

left = critic_statistics.rows_remaining(host.session)
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
# A gain is RMTL's only if it holds against all of them, over many seeds:
#
# ```
# rmtl compare --data_dir=data --workdir=runs/comparison \
#   --methods=ple+critic --seeds=0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15
# ```
#
# What we found that way stands in `docs/when_weighting_helps.md`.

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
# A log in pandas becomes a model that predicts, for every impression, a click
# and a conversion.
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

import jax
import pandas as pd
from IPython import display
from matplotlib import pyplot as plt

import rmtl_jax

QUICK = os.environ.get('RMTL_QUICK') == '1'  # trains less, for a test
print(f'Runs on {jax.devices()}')

# %% [markdown]
# ## A log
#
# One row per impression, with the session, the user, the item and the time.
# These sessions are simulated. Replace `log` with yours: a pandas or Polars
# frame or an Arrow table.

# %%
log = rmtl_jax.simulate(20_000, seed=0).to_pandas()
log = log.drop(columns=['p_click', 'p_conversion'])  # the true probabilities
log['timestamp'] = pd.to_datetime(log['timestamp'], unit='ms')
past, new = log[:-2_000], log[-2_000:]
past.head()

# %% [markdown]
# ## Fit
#
# `fit` prints what it takes each column for, computes features of the past
# (counts, rates, times), splits the rows by time, and trains: three models
# without critics (stage 1), then the critics (stage 2), then the first model
# again with each row's loss weighted by its critic, next to a control with
# constant weights (stage 3).

# %%
small = {'ensemble': 1, 'variants': '', 'pretrain.max_epochs': 3}
model = rmtl_jax.Ranker(
  tasks=('click', 'conversion'),
  config=small if QUICK else None,
  workdir='runs/quick_start',
  verbose=True,
).fit(past)

# %% [markdown]
# The first line of the table has rates of users and items without a network,
# which every model should beat. The verdict follows.

# %%
display.display(rmtl_jax.metrics_table(model.record_))
for sentence in rmtl_jax.sentences(model.record_):
  print(sentence)

# %% [markdown]
# ## Predict
#
# The model knows the rows that it was fitted on, so new rows get features of
# their users' and items' past.

# %%
labels = ['click', 'conversion']
scores = pd.DataFrame(
  model.predict_proba(new.drop(columns=labels)),
  columns=labels,
  index=new.index,
)
new[['session_id', 'user_id', 'item_id']].join(scores).head()

# %%
_, axes = plt.subplots(1, 2, figsize=(8, 3))
for axis, task in zip(axes, labels, strict=True):
  groups = pd.qcut(scores[task], 10, labels=False, duplicates='drop')
  axis.plot(scores[task].groupby(groups).mean(), label='predicted')
  axis.plot(new[task].groupby(groups).mean(), 'o', label='observed')
  axis.set(title=task, xlabel='tenth of the new rows, by prediction')
  axis.legend()
plt.tight_layout()
plt.show()

# %% [markdown]
# ## Keep it

# %%
model.save('runs/model', overwrite=True)
print(rmtl_jax.load('runs/model'))

# %% [markdown]
# Next: `docs/library.md` has more of `Ranker`, `docs/your_data.md` explains
# columns and labels, `docs/serving.md` serves the model, and
# `inside_rmtl.ipynb` looks at critics and weights. `rmtl train` does the same
# from the command line.

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
# # RMTL in JAX: your own data
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/rmtl_jax/blob/main/experiments/notebooks/own_data.ipynb)
#
# From a table of impressions to predictions for new rows. The table is made up
# here, so that the notebook runs anywhere; put your own in its place, say a
# data frame from `pandas.read_csv`.
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
# ## A log
#
# A row is one article that one customer was shown in one visit. `clicked` and
# `bought` are what the model will predict; nobody buys without a click. Visits
# need an id, or customers an id and rows a time: then a long pause ends a
# session.

# %%
import numpy as np
import pyarrow as pa
import pyarrow.compute as pa_compute

place = pathlib.Path('runs/own_data')
rng = np.random.default_rng(0)
visits = 4_000
lengths = 1 + rng.poisson(4, visits)
visit = np.repeat(np.arange(visits), lengths)
rows = len(visit)
step = np.arange(rows) - np.repeat(np.cumsum(lengths) - lengths, lengths)
customer = rng.integers(0, visits // 4, visits)[visit]
article = rng.zipf(1.3, rows) % 200
price = np.round(rng.lognormal(3, 1, 200), 2)[article]
taste = rng.normal(size=200)[article] + rng.normal(size=visits // 4)[customer]
clicked = rng.random(rows) < 1 / (1 + np.exp(1 - taste))
bought = clicked & (rng.random(rows) < 1 / (1 + np.exp(np.log(price) - 3)))
log = pa.table(
  {
    'visit': visit,
    'customer': [f'c{number}' for number in customer],
    'article': [f'a{number}' for number in article],
    'device': rng.choice(['phone', 'tablet', 'desktop'], visits)[visit],
    'price': price,
    'shown_at': 1_700_000_000 + 3600 * visit + 20 * step,
    'clicked': clicked.astype(int),
    'bought': bought.astype(int),
  }
)
is_earlier = pa.array(visit < 0.9 * visits)
earlier = log.filter(is_earlier)
today = log.filter(pa_compute.invert(is_earlier))
today = today.drop_columns(['clicked', 'bought'])
print(log.slice(0, 5).to_pylist()[0])
print(
  f'{rows:,} rows, {clicked.mean():.0%} clicked, {bought.mean():.0%} bought'
)

# %% [markdown]
# ## A table in, a model out
#
# `fit` takes pandas and Polars frames as well. What is not named, such as
# `device` and `price`, is used by its type. The earliest 60 % of the rows
# train, the next 20 % stop training in time, the last 20 % are the test. With
# `workdir` the model stays on disk, and run again, this cell goes on where it
# was.

# %%
model = rmtl_jax.Ranker(
  tasks={
    'click': 'clicked',
    'conversion': {'column': 'bought', 'after': 'click'},
  },
  session='visit',
  user='customer',
  item='article',
  time='shown_at',
  fine_tune=False,
  settings={'pretrain.max_epochs': 6} if quick else {},
  workdir=place / 'model',
).fit(earlier)
print(model)

# %% [markdown]
# Is that good? The table puts it beside the rates of customers and articles,
# multiplied: what one gets without any model.

# %%
display.display(rmtl_jax.metrics_table(model.record_))

# %% [markdown]
# That is stage 1, a multi-task model. `fine_tune=True`, the default, goes on to
# the critics and their weights, and puts a control beside them: see
# `inside_rmtl.ipynb`.
#
# ## Predict for new rows
#
# New rows need the columns of the features, no labels. What was known of their
# customers and articles before comes from the rows that the model was fitted
# on, or from `history=`: earlier rows, with labels. A category that training
# never saw counts as unseen.

# %%
probabilities = model.predict_proba(today)
shown = today['article'].slice(0, 5).to_pylist()
for article, found in zip(shown, probabilities[:5], strict=True):
  print(article, *(f'{value:.3f}' for value in found))

# %% [markdown]
# Keep it, and take it up in another process:

# %%
model.save(place / 'saved', overwrite=True)
again = rmtl_jax.load(place / 'saved')
print(np.array_equal(again.predict_proba(today), probabilities))

# %% [markdown]
# ## The same from files
#
# For logs that are files, and larger than memory. `schema.json` says what the
# columns mean; this is what the model above made of them:

# %%
import json

print(json.dumps(model.schema_, indent=2))

# %% [markdown]
# ```
# rmtl prepare --source=table --raw_dir=log.parquet --schema=schema.json \
#   --data_dir=data
# rmtl train --data_dir=data --workdir=run
# rmtl evaluate --workdir=run --split=test
# rmtl predict --workdir=run --input=today.parquet --output=scored.parquet \
#   --history=log.parquet
# ```

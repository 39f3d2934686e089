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
# From a table of impressions to predictions for new rows: describe the columns,
# prepare, train, evaluate, predict. The table is made up here, so that the
# notebook runs anywhere; put your own CSV or Parquet file in its place.
#
# A minute or two on two CPU cores. It runs on CPU, GPU or TPU as found; so far
# it has been run on CPU only, neither on a GPU or TPU nor on Colab.

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
import json

import numpy as np
import pyarrow as pa
import pyarrow.compute as pa_compute
import pyarrow.csv as pa_csv

from rmtl_jax.preparation import summary
from rmtl_jax.report import tables

# %% [markdown]
# ## A log
#
# A row is one article that one customer was shown in one visit. `clicked` and
# `bought` are what the model will predict; nobody buys without a click. Visits
# need an id, or customers an id and rows a time: then a long pause ends a
# session.

# %%
place = pathlib.Path('runs/own_data')
place.mkdir(parents=True, exist_ok=True)

rng = np.random.default_rng(0)
visits = 400 if quick else 10_000
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
known = int(0.9 * visits)
earlier = pa.array(visit < known)
pa_csv.write_csv(log.filter(earlier), place / 'log.csv')
print(log.slice(0, 5).to_pylist()[0])
print(
  f'{rows:,} rows, {clicked.mean():.0%} clicked, {bought.mean():.0%} bought'
)

# %% [markdown]
# ## What its columns mean
#
# `session`, `user` and `item` say who saw what when; `categorical`, `numeric`
# and `multi_valued` are what the model sees; `tasks` what it predicts.
# `prepare` adds what was known of a row's session, user and item before it.

# %%
schema = {
  'session': 'visit',
  'user': 'customer',
  'item': 'article',
  'time': {'column': 'shown_at', 'unit': 's'},
  'categorical': ['customer', 'article', 'device'],
  'numeric': [{'column': 'price', 'transform': 'log1p'}],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}
(place / 'schema.json').write_text(json.dumps(schema), encoding='utf-8')

manifest = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    source='table',
    raw_dir=str(place / 'log.csv'),
    schema=str(place / 'schema.json'),
    data_dir=str(place / 'data'),
    overwrite=True,
  )
)
print(summary.summary(manifest))

# %% [markdown]
# ## Train and evaluate
#
# The earliest 60 % of the rows train, the next 20 % stop training in time, the
# last 20 % are the test. Run again, this cell goes on where it was;
# `rmtl_jax.evaluate` restores the run later, in another process.

# %%
config = rmtl_jax.Config(
  backbone='shared_bottom',
  network=rmtl_jax.NetworkConfig(
    embedding_dim=8, bottom_units=(32,), tower_units=(16,)
  ),
  pretrain=rmtl_jax.PretrainConfig(
    learning_rate=0.01, max_epochs=2 if quick else 10
  ),
  batch=rmtl_jax.BatchConfig(lanes=4 if quick else 32),
)
live = rmtl_jax.Progress(sys.stdout)
rmtl_jax.train(
  config, place / 'run', place / 'data', stages=['pretrain'], live=live
)
record = rmtl_jax.evaluate(place / 'run', split='test')
display.display(tables.metrics_table(record))

# %% [markdown]
# That is stage 1, a multi-task model. `stages=['pretrain', 'critic',
# 'finetune']`, the default, goes on to the critics and their weights, and puts
# a control beside them: see `inside_rmtl.ipynb`.
#
# ## Predict for new rows
#
# New rows need the columns of the features, no labels. What was known of their
# users and items before comes from the history: earlier rows, with labels. A
# category that training never saw counts as unseen.

# %%
today = log.filter(pa_compute.invert(earlier)).drop_columns(
  ['clicked', 'bought']
)
model = rmtl_jax.load(place / 'run')
scores = model.predict(today, history=log.filter(earlier))
for task, probabilities in scores.items():
  today = today.append_column(f'p_{task}', pa.array(probabilities))
for row in today.slice(0, 5).to_pylist():
  print(row['article'], f'{row["p_click"]:.3f} {row["p_conversion"]:.3f}')

# %% [markdown]
# The command line does the same, file by file:
#
# ```
# rmtl prepare --source=table --raw_dir=log.csv --schema=schema.json \
#   --data_dir=data
# rmtl train --data_dir=data --workdir=run
# rmtl evaluate --workdir=run --split=test
# rmtl predict --workdir=run --input=today.csv --output=scored.csv \
#   --history=log.csv
# ```

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
# # RMTL in JAX: from yesterday's log to today's server
#
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/OWNER/rmtl_jax/blob/main/experiments/notebooks/day_after_day.ipynb)
#
# A model is trained on a log, goes on overnight on the day that came, and
# predicts for today, which is then compared with training. The same by
# commands, with the server: `docs/yesterday_to_today.md`.
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
# 28 simulated days. Put your own log in their place: a file for what there was
# before, and one for every day that comes.

# %%
import json

import pyarrow.compute as pc
import pyarrow.parquet as pq

place = pathlib.Path('runs/day_after_day')
shutil.rmtree(place, ignore_errors=True)
place.mkdir(parents=True)

log = rmtl_jax.simulate(20_000, seed=0).drop_columns(
  ['p_click', 'p_conversion']
)
log = log.sort_by('timestamp')
day = 86_400_000  # ms
first = pc.min(log['timestamp']).as_py() // day * day
days = pc.divide(pc.subtract(log['timestamp'], first), day)
before = log.filter(pc.less(days, 26))
yesterday = log.filter(pc.equal(days, 26))
today = log.filter(pc.greater(days, 26))
for name, rows in (('before', before), ('yesterday', yesterday)):
  pq.write_table(rows, place / f'{name}.parquet')
  print(f'{name}: {len(rows):,} rows')
print(f'today: {len(today):,} rows')

schema = {
  'session': 'session_id',
  'user': 'user_id',
  'item': 'item_id',
  'time': {'column': 'timestamp'},
  'categorical': ['user_id', 'item_id', 'device', 'brand'],
  'multi_valued': ['item_tags'],
  'numeric': [{'column': 'price', 'transform': 'log1p'}],
  'tasks': [
    {'name': 'click', 'column': 'click', 'known_after_seconds': 0},
    {
      'name': 'conversion',
      'column': 'conversion',
      'after': 'click',
      'known_after_seconds': 0,
    },
  ],
}
_ = (place / 'schema.json').write_text(json.dumps(schema))

# %% [markdown]
# ## Once
#
# Prepared and trained as any log; stage 1 alone here.

# %%
import dataclasses

manifest = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    source='table',
    raw_dir=str(place / 'before.parquet'),
    schema=str(place / 'schema.json'),
    data_dir=str(place / 'data_before'),
  )
)
print(rmtl_jax.summary(manifest))

config = rmtl_jax.preset('recommended', manifest)
if quick:
  config = dataclasses.replace(
    config,
    ensemble=1,
    variants='',
    pretrain=dataclasses.replace(config.pretrain, max_epochs=3),
  )
live = rmtl_jax.Progress(sys.stdout)
record = rmtl_jax.train(
  config,
  place / 'run_before',
  place / 'data_before',
  stages=['pretrain'],
  live=live,
)

# %% [markdown]
# ## Overnight
#
# Yesterday's rows join the data: vocabularies keep their ids and grow, what was
# test becomes validation, yesterday is the new test split. The run starts from
# the old one's parameters, by category value.

# %%
grown = rmtl_jax.prepare(
  rmtl_jax.PrepareConfig(
    extend=str(place / 'data_before'),
    raw_dir=str(place / 'yesterday.parquet'),
    data_dir=str(place / 'data_yesterday'),
    split_by='rolling',
  )
)
print(rmtl_jax.summary(grown))

record = rmtl_jax.train(
  None,
  place / 'run_yesterday',
  place / 'data_yesterday',
  stages=['pretrain'],
  start_from=place / 'run_before',
  live=live,
)
for sentence in rmtl_jax.sentences(record):
  print(sentence)

# %% [markdown]
# ## Today
#
# The model sees what was known before each row: it keeps the log so far.
# `rmtl serve` answers the same over HTTP.

# %%
model = rmtl_jax.load(place / 'run_yesterday')
shown = today.drop_columns(['click', 'conversion'])
history = model.keep_history(before)
model.extend_history(history, yesterday)
answers = model.predict(shown.slice(0, 5), history)
print({task: values.round(4).tolist() for task, values in answers.items()})

# %% [markdown]
# ## In the evening
#
# Today's labels have come. Is the model as good as on its test rows, and do
# inputs and predictions look like training's? With fewer rows chance moves
# more, so an alarm needs both: a difference above its threshold, and one that
# chance would not make.

# %%
scored = today
for task, values in model.predict(today, history).items():
  scored = scored.append_column(f'p_{task}', [values])
pq.write_table(scored, place / 'scored.parquet')

found = rmtl_jax.monitor(place / 'run_yesterday', place / 'scored.parquet')
print('alarms:', found['alarms'] or 'none')
for one in found['labels']:
  for name, value in one['metrics'].items():
    print(f'{one["task"]} {name}: {value:.3f}, test {one["test"][name]:.3f}')

# %% [markdown]
# A day on which a field comes empty is another matter.

# %%
column = scored.column_names.index('price')
empty = scored.set_column(column, 'price', [[None] * len(scored)])
empty = empty.set_column(column, 'price', empty['price'].cast('float64'))
pq.write_table(empty, place / 'empty.parquet')
found = rmtl_jax.monitor(place / 'run_yesterday', place / 'empty.parquet')
print(f'{len(found["alarms"])} alarms')
display.Markdown('\n'.join(f'- {alarm}' for alarm in found['alarms']))

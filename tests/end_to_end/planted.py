"""Prepared data in which weighting by critics must help, or cannot.

Sessions are of kind E, one row long, or of kind H, thirty rows long. A row has
two numbers, a and b, and a label whose log-odds are linear in them. A network
with one embedding dimension sees of a and b only one linear combination,
whatever comes after it, and can shape it by kind.

- `helps`: the log-odds rest on a in E and on b in H, so that the network has to
  choose. E has most train rows, and an unweighted fit chooses a. But much is
  left of an H session and nothing of an E session, so -Q is ten times larger in
  H, and with RMTL's weights H outweighs E. Validation and test are of a later
  time with more H, so that b is the better choice there: importance weighting
  under covariate shift (Shimodaira, 2000). No weight that ignores the row can
  do that.
- `cannot`: the log-odds rest on a in both, and the kinds' shares never change.
  The network can represent the truth, so all weights lead there.
"""

from __future__ import annotations

import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax.data import manifest as manifest_lib

ROWS_OF_E, ROWS_OF_H = 1, 30
SLOPE = 1.5
# Log-odds = SLOPE x (row of kind E or H) . (a, b).
DIRECTIONS = {
  'helps': np.array([[1.0, 0.0], [0.0, 1.0]]),
  'cannot': np.array([[1.0, 0.0], [1.0, 0.0]]),
}
# Sessions of kind E and of kind H: 2,400 + 900 rows, or 1,200 + 3,000.
EARLY, LATE = (2_400, 30), (1_200, 100)
SESSIONS = {
  'helps': {'train': EARLY, 'validation': LATE, 'test': LATE},
  'cannot': {'train': EARLY, 'validation': EARLY, 'test': EARLY},
}


def write_prepared(
  path: pathlib.Path, variant: str, seed: int = 0
) -> manifest_lib.Manifest:
  """Writes the prepared data of a variant.

  Args:
    path: DATA, created.
    variant: 'helps' or 'cannot'.
    seed: of everything.

  Returns:
    The manifest, which is on disk too.
  """
  rng = np.random.default_rng(seed)
  splits, first = {}, 0
  for name, (easy, hard) in SESSIONS[variant].items():
    columns = _columns(rng, easy, hard, first, DIRECTIONS[variant])
    file = f'{name}/part-00000.parquet'
    (path / name).mkdir(parents=True)
    pq.write_table(pa.table(columns), path / file)
    splits[name] = manifest_lib.Split(
      rows=len(columns['row_id']),
      sessions=easy + hard,
      files=(file,),
      positives={'click': int(columns['y_click'].sum())},
    )
    first += easy + hard
  manifest = manifest_lib.Manifest(
    source='planted',
    fields=(
      manifest_lib.Field('kind', 'categorical', size=3),
      manifest_lib.Field('a', 'numeric'),
      manifest_lib.Field('b', 'numeric'),
    ),
    tasks=(manifest_lib.Task('click'),),
    splits=splits,
  )
  manifest_lib.write(manifest, path)
  return manifest


def config(**compare: Any) -> config_lib.Config:
  """Settings that fit both variants.

  What shapes the method (lambda, gamma, the critics' form and targets) is at
  its default, but that stage 3 freezes the critics, which saves time. Sizes,
  passes and learning rates suit 3,300 rows: the critics need some passes to
  see how much longer sessions of kind H are.

  Args:
    **compare: settings of the group `compare`.
  """
  return config_lib.Config(
    backbone='shared_bottom',
    network=config_lib.NetworkConfig(
      embedding_dim=1,
      embedding_scale=0.1,
      bottom_units=(8,),
      tower_units=(8,),
      dropout=0.0,
      first_layer='plain',
    ),
    pretrain=config_lib.StageConfig(learning_rate=0.03, patience=3),
    critic=config_lib.CriticConfig(
      learning_rate=0.03, min_passes=8, in_finetune='frozen'
    ),
    finetune=config_lib.StageConfig(learning_rate=0.03, max_epochs=10),
    batch=config_lib.BatchConfig(lanes=4, lane_length=32),
    compare=config_lib.CompareConfig(
      **{
        'methods': ('shared_bottom+critic',),
        'seeds': tuple(range(16)),
        'learning_rates': (0.03,),
        'tuning_seeds': 1,
        **compare,
      }
    ),
  )


def _columns(
  rng: np.random.Generator,
  easy: int,
  hard: int,
  first: int,
  directions: np.ndarray,
) -> dict[str, np.ndarray]:
  """Columns of one split, with sessions numbered from `first`."""
  is_hard = rng.permutation(np.arange(easy + hard) < hard)
  lengths = np.where(is_hard, ROWS_OF_H, ROWS_OF_E)
  session = np.repeat(np.arange(easy + hard), lengths)
  step = np.arange(len(session)) - (np.cumsum(lengths) - lengths)[session]
  kind = is_hard[session].astype(int)
  x = rng.normal(size=(len(session), 2))
  log_odds = SLOPE * (directions[kind] * x).sum(1)
  label = rng.random(len(session)) < 1 / (1 + np.exp(-log_odds))
  return {
    'session_id': first + session,
    'user_id': first + session,
    'row_id': np.arange(len(session)),
    'step': step.astype(np.int32),
    'timestamp': (first + session) * 3_600_000 + step * 1_000,
    'f_kind': (1 + kind).astype(np.int32),
    'x_a': x[:, 0].astype(np.float32),
    'x_b': x[:, 1].astype(np.float32),
    'y_click': label.astype(np.float32),
  }

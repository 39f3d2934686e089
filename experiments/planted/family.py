"""A family of prepared data in which weighting by critics helps, or cannot.

Sessions are of kind E, one row long, or of kind H, thirty rows long. A row has
two numbers, a and b, and a label whose log-odds are linear in them. In E they
rest on a; in H on a direction that is turned away from a by an angle. A network
with one embedding dimension sees of a and b only one linear combination,
whatever comes after it, and can shape it by kind: it has to choose. Three
knobs:

- `angle`: how much the kinds disagree about the direction, in degrees. At 0
  there is nothing to choose.
- `shift`: how much the shares of the kinds change between train and the later
  splits. E has most train rows, and an unweighted fit chooses its direction; at
  1 validation and test have most rows in H (at 0 they are as train is, and at
  -1 they have next to no H).
- `embedding_dim` (a setting of the network): with two dimensions it can
  represent the truth of both kinds, so all weights lead there.

Much is left of an H session and nothing of an E session, so -Q is about ten
times larger in H, and RMTL's weights 1 - lambda Q give H more weight than its
share. If H is what later splits have more of, that is importance weighting
under covariate shift, which minimises the later splits' risk where the model
can't fit everything (Shimodaira, 2000); no weight that ignores the row can do
that. If the shares stay, it moves the fit away from what is wanted.
"""

from __future__ import annotations

import dataclasses
import math
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import config as config_lib
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file

_PAPER = config_lib.preset('paper')

ROWS_OF_E, ROWS_OF_H = 1, 30
SLOPE = 1.5
# Sessions of kind E and of kind H in train, and in later splits by shift.
TRAIN = (2_400, 30)
LATER = {-1.0: (3_300, 2), 0.0: TRAIN, 1.0: (1_200, 100)}


@dataclasses.dataclass(frozen=True)
class Knobs:
  """What one data set of the family is made by.

  Attributes:
    angle: between the kinds' directions, degrees in [0, 180].
    shift: of the kinds' shares after train, in [-1, 1].
  """

  angle: float = 90.0
  shift: float = 1.0


# What must be found, and what cannot be there.
HELPS, CANNOT = Knobs(), Knobs(angle=0.0, shift=0.0)


def sessions(shift: float) -> tuple[int, int]:
  """Sessions of kind E and H in validation and test."""
  end = LATER[math.copysign(1.0, shift)] if shift else TRAIN
  return tuple(
    round(before + abs(shift) * (after - before))
    for before, after in zip(TRAIN, end, strict=True)
  )


def directions(angle: float) -> np.ndarray:
  """Unit vectors over (a, b) of kind E and of kind H, f64[2, 2]."""
  turned = math.radians(angle)
  return np.array([[1.0, 0.0], [math.cos(turned), math.sin(turned)]])


def write_prepared(
  path: pathlib.Path, knobs: Knobs, seed: int = 0
) -> manifest_lib.Manifest:
  """Writes a data set of the family.

  Args:
    path: DATA, created.
    knobs: which one.
    seed: of everything.

  Returns:
    The manifest, which is on disk too.
  """
  rng = np.random.default_rng(seed)
  splits, first = {}, 0
  later = sessions(knobs.shift)
  for name in manifest_lib.SPLITS:
    easy, hard = TRAIN if name == 'train' else later
    columns = _columns(rng, easy, hard, first, directions(knobs.angle))
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
  manifest_file.write(manifest, path)
  return manifest


def config(embedding_dim: int = 1, **compare: Any) -> config_lib.Config:
  """Settings that fit the family.

  What shapes the method (lambda, gamma, the critics' form and targets) is at
  its default. Sizes, passes and learning rates suit 3,300 rows: the critics
  need some passes to see how much longer sessions of kind H are. Their L2 is
  that of the results.

  Args:
    embedding_dim: of the network; 1 has to choose a direction.
    **compare: settings of the group `compare`.
  """
  return dataclasses.replace(
    _PAPER,
    backbone='shared_bottom',
    network=dataclasses.replace(
      _PAPER.network,
      embedding_dim=embedding_dim,
      embedding_scale=0.1,
      bottom_units=(8,),
      tower_units=(8,),
      dropout=0.0,
      first_layer='plain',
    ),
    pretrain=dataclasses.replace(
      _PAPER.pretrain, learning_rate=0.03, patience=3
    ),
    critic=dataclasses.replace(
      _PAPER.critic, learning_rate=0.03, min_passes=8, l2=1e-6
    ),
    finetune=dataclasses.replace(
      _PAPER.finetune, learning_rate=0.03, max_epochs=10
    ),
    batch=dataclasses.replace(_PAPER.batch, lanes=4, lane_length=32),
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
  by_kind: np.ndarray,
) -> dict[str, np.ndarray]:
  """Columns of one split, with sessions numbered from `first`."""
  is_hard = rng.permutation(np.arange(easy + hard) < hard)
  lengths = np.where(is_hard, ROWS_OF_H, ROWS_OF_E)
  session = np.repeat(np.arange(easy + hard), lengths)
  step = np.arange(len(session)) - (np.cumsum(lengths) - lengths)[session]
  kind = is_hard[session].astype(int)
  x = rng.normal(size=(len(session), 2))
  log_odds = SLOPE * (by_kind[kind] * x).sum(1)
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

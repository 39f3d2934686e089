"""Prepared data of a few rows, whose description tests know by hand."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file

HOUR = 3_600_000
TYPES = {
  'session_id': pa.int64(),
  'step': pa.int32(),
  'timestamp': pa.int64(),
  'f_colour': pa.int32(),
  'm_tags': pa.list_(pa.int32()),
  'x_price': pa.float32(),
  'y_click': pa.float32(),
  'y_watch': pa.float32(),
  'w_watch': pa.float32(),
}
FIELDS = (
  manifest_lib.Field('colour', 'categorical', size=4),
  manifest_lib.Field('tags', 'multi_valued', size=3, width=2),
  manifest_lib.Field(
    'price',
    'numeric',
    details={'quantiles': [float(i) for i in range(11)]},
  ),
)
TASKS = (
  manifest_lib.Task('click'),
  manifest_lib.Task(
    'watch',
    kind='regression',
    loss='squared',
    statistics=dict.fromkeys(
      (
        *('mean', 'deviation', 'zeros', 'least', 'largest'),
        *('log_mean', 'log_deviation', 'deviance'),
      ),
      0.5,
    ),
    weighted=True,
  ),
)


def columns(
  first_session: int,
  lengths: Sequence[int],
  start: int,
  values: Mapping[str, Sequence[Any]],
) -> dict[str, list[Any]]:
  """Columns of a split; rows are an hour apart."""
  rows = sum(lengths)
  return {
    'session_id': [
      first_session + i for i, n in enumerate(lengths) for _ in range(n)
    ],
    'step': [step for n in lengths for step in range(n)],
    'timestamp': [start + i * HOUR for i in range(rows)],
    **{name: list(of) for name, of in values.items()},
  }


def write(
  path: pathlib.Path, splits: Mapping[str, Mapping[str, Sequence[Any]]]
) -> pathlib.Path:
  """Writes splits, each in two files, a vocabulary and the manifest."""
  made = {}
  for name, of in splits.items():
    (path / name).mkdir(parents=True)
    table = pa.table({c: pa.array(v, TYPES[c]) for c, v in of.items()})
    files = []
    for i, part in enumerate((table.slice(0, 2), table.slice(2))):
      files.append(f'{name}/part-{i}.parquet')
      pq.write_table(part, path / files[-1])
    made[name] = manifest_lib.Split(
      rows=table.num_rows,
      sessions=len(set(of['session_id'])),
      files=tuple(files),
      positives={'click': int(sum(of['y_click'])), 'watch': 1},
      observed={'watch': int(sum(of['w_watch']))},
    )
  (path / 'vocabulary').mkdir()
  pq.write_table(
    pa.table({'value': [None, 'red', 'green', 'blue'], 'count': [0, 6, 2, 2]}),
    path / 'vocabulary' / 'colour.parquet',
  )
  manifest_file.write(manifest_lib.Manifest('table', FIELDS, TASKS, made), path)
  return path


def small(path: pathlib.Path, start: int = 480_000 * HOUR) -> pathlib.Path:
  """Ten rows of train, five of validation, five of test.

  Test has unseen colours where train is mostly red; prices rise.
  """
  return write(
    path,
    {
      'train': columns(
        0,
        (4, 1, 3, 2),
        start,
        {
          'f_colour': [1] * 6 + [2, 2, 3, 3],
          'm_tags': [[1]] * 5 + [[1, 2]] * 4 + [[0]],
          'x_price': [i + 0.5 for i in range(10)],
          'y_click': [1, 0, 0, 0, 1, 0, 1, 1, 0, 0],
          'y_watch': [4, 0, 0, 0, 8, 0, 6, 2, 1, 9],
          'w_watch': [1, 1, 1, 1, 1, 1, 1, 1, 1, 0],
        },
      ),
      'validation': columns(
        4,
        (5,),
        start + 10 * HOUR,
        {
          'f_colour': [1, 1, 1, 2, 3],
          'm_tags': [[1]] * 5,
          'x_price': [0.5, 2.5, 4.5, 6.5, 8.5],
          'y_click': [1, 0, 0, 0, 1],
          'y_watch': [3, 0, 0, 0, 2],
          'w_watch': [1, 1, 1, 1, 1],
        },
      ),
      'test': columns(
        5,
        (1, 1, 1, 1, 1),
        start + 15 * HOUR,
        {
          'f_colour': [0, 0, 0, 1, 2],
          'm_tags': [[2]] * 5,
          'x_price': [9.5] * 5,
          'y_click': [1, 1, 1, 1, 0],
          'y_watch': [5] * 5,
          'w_watch': [1, 1, 1, 1, 1],
        },
      ),
    },
  )

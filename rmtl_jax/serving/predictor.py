"""A trained run that predicts for raw rows, from Python."""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa

from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.networks import ignore
from rmtl_jax.serving import encoder
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import trainer, workdir

# The actors that a run leaves; without a wish the first that is there is used.
STAGES = ('finetune', 'pretrain', 'constant')
_CHUNK_ROWS = 65_536


class Predictor:
  """What `load` returns.

  Attributes:
    run: the run's directory, settings and manifest.
    stage: whose parameters predict: one of STAGES.
    tasks: names of the tasks.
    encoder: raw rows to inputs.
    chunk_rows: how many rows `probabilities` takes at most, R.
  """

  def __init__(self, run: workdir.Run, stage: str, params: Any):
    """Reads the vocabularies.

    Args:
      run: a trained run.
      stage: the name of what was restored.
      params: the actor's parameters.

    Raises:
      types.InputError: the vocabularies are not the run's.
    """
    self.run, self.stage, self._params = run, stage, params
    self.tasks = run.manifest.task_names
    spec = run.manifest.feature_spec()
    ignored = ignore.fields(run.config.network.ignore, spec)
    self.encoder = encoder.Encoder(run.path, run.manifest, ignored)
    self._models = models_lib.Models(spec)
    batch = run.config.batch
    slots = batch.lanes * batch.lane_length
    steps = max(1, _CHUNK_ROWS // slots)
    self._config = dataclasses.replace(
      run.config, batch=dataclasses.replace(batch, steps_per_dispatch=steps)
    )
    self.chunk_rows = steps * slots

  def predict(self, table: Any) -> dict[str, np.ndarray]:
    """Probabilities of raw rows.

    Args:
      table: R rows: a pyarrow.Table, or what `pyarrow.table` takes: a mapping
        of column names to numpy arrays or lists, a record batch, a pandas
        frame. Of its columns those of the features are used, named as in the
        raw log (source `table`) or as the fields (other sources); labels are
        not needed.

    Returns:
      {task: f32[R]}, rows in their order.

    Raises:
      types.InputError: a column that is missing or of another type, or a value
        that its field can't have; names the column and the row, from 1.
    """
    try:
      rows = table if isinstance(table, pa.Table) else pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
      first = str(error).partition('\n')[0]
      raise types.InputError(f'table: not usable: {first}') from None
    self.encoder.check(rows.schema, 'table')
    found = [np.zeros((0, len(self.tasks)), np.float32)]
    for begin in range(0, rows.num_rows, self.chunk_rows):
      part = rows.slice(begin, self.chunk_rows)
      lines = range(begin + 1, begin + 1 + part.num_rows)
      found.append(self.probabilities(encoder.Chunk(part, 'table', lines)))
    values = np.concatenate(found)
    return {task: values[:, k] for k, task in enumerate(self.tasks)}

  def probabilities(self, chunk: encoder.Chunk) -> np.ndarray:
    """Probabilities of up to `chunk_rows` raw rows, at least one.

    Args:
      chunk: rows whose columns have passed `encoder.check`.

    Returns:
      f32[R, K].

    Raises:
      types.InputError: as for `predict`.
    """
    split = _split(self.encoder.encode(chunk), self.chunk_rows, len(self.tasks))
    return self._models.predict(
      self._config, self._params, trainer.place(split, self._config.batch)
    )


def load(workdir_path: str | os.PathLike[str], stage: str = '') -> Predictor:
  """Restores a run for prediction.

  Args:
    workdir_path: RUN.
    stage: whose parameters: `finetune`, `constant` (the control) or
      `pretrain`; if empty `finetune`, or `pretrain` where that is all there is.

  Returns:
    The predictor.

  Raises:
    types.InputError: not a run, no such stage in it, or a model that needs the
      session so far, which raw rows alone do not tell.
  """
  run = workdir.read(pathlib.Path(workdir_path))
  if stage and stage not in STAGES:
    raise types.InputError(
      f'stage: {stage!r} is not one of {", ".join(STAGES)}'
    )
  if run.config.network.session_encoder != 'none':
    raise types.InputError(
      f'{run.path}: the run has session_encoder'
      f' {run.config.network.session_encoder}, whose sessions predict cannot'
      ' put together yet'
    )
  wanted = (stage,) if stage else STAGES
  name = next((s for s in wanted if run.has(s)), None)
  if name is None:
    what = f'stage {stage} has not been' if stage else 'no stage has been'
    raise types.InputError(f'{run.path}: {what} trained here')
  models = models_lib.Models(run.manifest.feature_spec())
  form = models.forms(run.config)[0]
  store = run.checkpoint(name)
  restored = store.restore(lambda record: form)
  store.close()
  assert restored is not None, name
  return Predictor(run, name, restored.arrays)


def _split(
  inputs: types.Inputs, size: int, tasks: int
) -> columns_lib.SplitColumns:
  """Inputs as a split of one session, filled up to `size` rows.

  Every chunk has the same shape, so that one program serves them all; the rows
  that fill it are in no session and cost nothing.
  """
  count = len(inputs.categorical)

  def filled(values: Any) -> np.ndarray:
    return np.pad(np.asarray(values), [(0, size - count), (0, 0)])

  zeros = np.zeros(size, np.int64)
  return columns_lib.SplitColumns(
    categorical=filled(inputs.categorical),
    multi_valued=filled(inputs.multi_valued),
    numeric=filled(inputs.numeric),
    labels=np.zeros((size, tasks), np.float32),
    session=zeros,
    user=None,
    row_id=zeros,
    oracle=None,
    starts=np.array([0, count]),
  )

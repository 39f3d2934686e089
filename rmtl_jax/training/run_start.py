"""A run that starts with another's models: `rmtl train --start_from`.

Stage 1 starts from the other run's pre-trained model, stage 2 from its
critics, where it has some; stage 3 follows as always. The new run's config.json
records the start. Until its stages have finished it reads the other run,
which must stay as it was.
"""

from __future__ import annotations

import contextlib
import functools
import os
import pathlib
from typing import Any

import jax
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from rmtl_jax import types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import vocabulary_file
from rmtl_jax.networks import ignore
from rmtl_jax.runtime import checkpoints, workdir
from rmtl_jax.training import models as models_lib
from rmtl_jax.training import start_rules
from rmtl_jax.updates import loop, vocabulary_moves
from rmtl_jax.weighting import weighting_registry

# Stages that start from another run.
STAGES = ('pretrain', 'critic')
# Tells the noise of new rows from other draws.
_NOISE = 104


def read_source(path: pathlib.Path) -> workdir.Run:
  """The run that another one is to start from.

  Raises:
    types.InputError: it is not there, or something else.
  """
  try:
    return workdir.read_run(path)
  except types.InputError as error:
    raise types.InputError(f'--start_from: {error}') from None


class Start:
  """The run that a warm start begins with.

  Attributes:
    run: the run that starts.
    path: of the run that is started from.
  """

  def __init__(self, run: workdir.Run, path: pathlib.Path):
    """Reads nothing yet."""
    self.run, self.path = run, path

  @functools.cached_property
  def source(self) -> workdir.Run:
    """The run that is started from, on this one's mesh.

    Raises:
      types.InputError: it is not there, or can't be split as the mesh wants.
    """
    return read_source(self.path).on(self.run.layout)

  @functools.cached_property
  def rows(self) -> dict[str, vocabulary_moves.Rows]:
    """Where the rows of every vocabulary come from, by field."""
    return {
      old.name: _rows(
        _values(self.source.path, old),
        _values(self.run.data_dir, new),
      )
      for old, new in zip(
        self.source.manifest.fields, self.run.manifest.fields, strict=True
      )
      if new.kind != 'numeric' and new.vocabulary_owner is None
    }

  def member(self, place: pathlib.Path) -> pathlib.Path:
    """The start of one member of an ensemble."""
    return self.path / place.relative_to(self.run.path)

  @property
  def stages(self) -> list[str]:
    """The stages that start from the other run."""
    needed = weighting_registry.needs_critics(self.run.config.weighting.name)
    wanted = STAGES if needed else STAGES[:1]
    return [stage for stage in wanted if self.source.has(stage)]

  def describe(self) -> dict[str, Any]:
    """Its record for config.json and metrics.json; checked first.

    Returns:
      `run` and `data_dir`, where it is and was trained; `stages` that continue
      from its; `epochs` of its stage 1, one per model; `rows` {field: {'known',
      'new', 'gone'}: values of both vocabularies, of the new alone, of the old
      alone}; and of one model `digests` {stage: of its checkpoint}.

    Raises:
      types.InputError: it can't be started from; or a damaged checkpoint.
    """
    if self.path == self.run.path.resolve():
      raise types.InputError(f'--start_from: {self.path}: is this --workdir')
    start_rules.check(
      self.source, self.run.config, self.run.manifest, self.run.data_dir
    )
    records = {
      stage: [
        _record(one, stage) for one in self.source.members if one.has(stage)
      ]
      for stage in self.stages
    }
    found = {
      'run': str(self.path),
      'data_dir': str(self.source.data_dir),
      'stages': self.stages,
      'epochs': [record['epoch'] for record in records['pretrain']],
      'rows': {name: self._counts(name) for name in self.rows},
    }
    if len(self.source.members) == 1:
      found['digests'] = {
        stage: one[0]['digest'] for stage, one in records.items()
      }
    return found

  def _counts(self, name: str) -> dict[str, int]:
    """How many values of a field, row 0 aside, both or one of the two have."""
    known = int(np.count_nonzero(self.rows[name].source >= 0)) - 1
    sizes = [
      next(f.size for f in manifest.fields if f.name == name) - 1
      for manifest in (self.source.manifest, self.run.manifest)
    ]
    return {
      'known': known,
      'new': sizes[1] - known,
      'gone': sizes[0] - known,
    }

  def actor(self, models: models_lib.Models, draws: loop.Draws) -> Any:
    """The pre-trained model in the form of the new data."""
    fresh = models.init_actor(self.run.config, draws)
    return self._moved(models, 'pretrain', fresh, draws)

  def critic(
    self, models: models_lib.Models, draws: loop.Draws, actor_params: Any
  ) -> Any | None:
    """The critics likewise; None if there are none to start from."""
    if 'critic' not in self.run.started_from['stages']:
      return None
    fresh = models.init_critic(self.run.config, draws, actor_params)
    return self._moved(models, 'critic', fresh, draws)

  def _moved(
    self, models: models_lib.Models, stage: str, fresh: Any, draws: loop.Draws
  ) -> Any:
    """A stage's parameters by the values of the vocabularies."""
    old_models = models_lib.Models(
      self.source.manifest.feature_spec(), self.source.layout
    )
    shapes = old_models.shapes_left(self.source.config, stage)
    if self.run.layout is not None:
      table = shapes['first']['table'].shape[-2]
      self.run.layout.check(self.source.config, table)
    restored = self._restore(stage, shapes)
    moves = self._moves()

    def move(old, fresh, arrays, draws):
      key = jax.random.fold_in(loop.random_key(draws), _NOISE)
      return vocabulary_moves.move(moves, old, fresh, arrays, key)

    return models.compute(move, restored.arrays, fresh, moves.arrays, draws)

  def _restore(self, name: str, template: Any) -> checkpoints.Restored:
    """A checkpoint of the other run.

    Raises:
      types.InputError: it is gone, damaged, or not the one that the run began
        with.
    """
    found = _record(self.source, name)
    began = self.run.started_from['digests'].get(name, found['digest'])
    if found['digest'] != began:
      raise types.InputError(
        f'--start_from: {self.path}: was trained again since {self.run.path}'
        ' began; choose another --workdir'
      )
    return _read(self.source, name, template)

  def _moves(self) -> vocabulary_moves.Moves:
    """How parameters move, of the fields that networks see."""
    specs = []
    for manifest in (self.source.manifest, self.run.manifest):
      spec = manifest.feature_spec()
      seen = ignore.view(spec, self.run.config.network)
      specs.append(spec if seen is None else seen.spec)
    rows = {n: one for n, one in self.rows.items() if n in specs[1].names}
    return vocabulary_moves.Moves(specs[0], specs[1], rows)


def find(
  run: workdir.Run, start_from: str | os.PathLike[str] | None
) -> Start | None:
  """The start of a run; None if it starts from scratch.

  Args:
    run: new, or existing: then its own record counts.
    start_from: the run that is asked for.

  Raises:
    types.InputError: a run that is there started from another, or from none.
  """
  asked = pathlib.Path(start_from).resolve() if start_from else None
  if not (run.path / 'config.json').exists():
    return Start(run, asked) if asked else None
  began = run.started_from.get('run')
  if asked and str(asked) != began:
    what = f'from {began}' if began else 'from scratch'
    raise types.InputError(
      f'{run.path}: this run started {what}, not from {asked}; choose another'
      ' --workdir'
    )
  return Start(run, pathlib.Path(began)) if began else None


def _rows(old: pa.Array, new: pa.Array) -> vocabulary_moves.Rows:
  """Where the rows of a vocabulary come from.

  Args:
    old: values of the run that is started from, null in row 0.
    new: of the one that starts.
  """
  options = pc.SetLookupOptions(value_set=old[1:])
  places = pc.call_function('index_in', [new.cast(old.type)], options)
  source = places.fill_null(-2).to_numpy().astype(np.int32) + 1
  source[0] = 0  # null is row 0 in both
  is_new = source < 0
  return vocabulary_moves.Rows(source, bool(is_new.any()))


def _values(directory: pathlib.Path, field: manifest_lib.Field) -> pa.Array:
  if field.is_binned:
    return pa.array([None, *map(str, range(1, field.size))])
  try:
    table = vocabulary_file.read(directory, field)
  except types.InputError as error:
    raise types.InputError(f'--start_from: {error}') from None
  return table['value'].combine_chunks()


def _record(run: workdir.Run, name: str) -> dict[str, Any]:
  """The record of a checkpoint."""
  return _read(run, name, None).record


def _read(run: workdir.Run, name: str, template: Any) -> checkpoints.Restored:
  if not run.has(name):  # opening a store would make its directory
    raise types.InputError(
      f'--start_from: {run.path}: its {name} checkpoint is gone'
    )
  with contextlib.closing(run.checkpoint(name)) as store:
    restored = store.restore(lambda record: template)
  assert restored is not None
  return restored

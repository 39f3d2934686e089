"""`rmtl importance`: permutation importance of a trained run's fields."""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import types
from rmtl_jax.data import columns as columns_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.evaluation import importance as importance_lib
from rmtl_jax.evaluation import intervals
from rmtl_jax.networks import ignore
from rmtl_jax.runtime import (
  checks,
  programs,
  progress,
  provenance,
  workdir,
  writers,
)
from rmtl_jax.serving import predictor
from rmtl_jax.training import splits as splits_lib


@programs.in_32_bits
def importance(
  path: str | os.PathLike[str],
  groups: Sequence[str] | None = None,
  split: str = 'validation',
  repeats: int = 5,
  stage: str = '',
  calibrated: bool | None = None,
  data_dir: str | os.PathLike[str] = '',
  rows: int = 50_000,
  seed: int = 0,
  live: progress.Progress | None = None,
) -> dict[str, Any]:
  """Measures permutation importance per field and task, with intervals.

  A field that is constant within every session is exchanged between sessions,
  any other between rows; the model predicts, and AUC and logloss are compared
  with those of the rows as they are. Intervals draw sessions and permutations.

  Args:
    path: RUN; an ensemble counts as the one model that it predicts as.
    groups: fields that are permuted together: `NAME:FIELD+FIELD`, or the name
      of a group of as-of features. None: these groups, where they have two
      fields or more.
    split: 'train', 'validation' or 'test'.
    repeats: permutations of each field and group.
    stage: as for `load`.
    calibrated: likewise.
    data_dir: prepared data with the run's fields; empty: the run's own.
    rows: measure on at most so many, in whole sessions, drawn at random; 0:
      on all.
    seed: of permutations, intervals and the draw of sessions.
    live: where progress goes.

  Returns:
    The content of RUN/importance.json, which it writes: `base` (metrics of the
    rows as they are), `parts` (see evaluation/importance.py), and how both came
    about.

  Raises:
    types.InputError: not a run, no such stage, split, field or group, or the
      run's data was replaced.
  """
  path = pathlib.Path(path)
  if repeats < 1 or rows < 0:
    what, least = ('repeats', 1) if repeats < 1 else ('rows', 0)
    raise types.InputError(f'{what}: expected at least {least}')
  run = workdir.read_run(path)
  spec = run.manifest.feature_spec()
  parts = [
    *(importance_lib.Part(f.name, (f.name,)) for f in run.manifest.fields),
    *find_groups(groups, spec),
  ]
  live = live or progress.Progress(quiet=True)
  place = pathlib.Path(data_dir) if data_dir else run.data_dir
  with contextlib.ExitStack() as stack:
    workdir.hold_data(stack, place)
    manifest = (
      manifest_file.read(place) if data_dir else workdir.own_manifest(run)
    )
    checks.check_compatible(run.manifest, manifest, str(place))
    if data_dir:
      checks.check_encoding(run.path, run.manifest, manifest, place)
    else:
      workdir.check_own_data(run, (split,))
    host = splits_lib.read(place, manifest, split, run.config.batch, live).host
    seen, starts = _sample(host, rows, seed)
  live.start('importance', 0, compiles=True)
  model = predictor.load(path, stage, calibrated)
  measured = importance_lib.Importance(
    lambda inputs: _predict(model, inputs, starts),
    seen,
    spec,
    run.manifest.task_names,
    run.config.evaluation,
    repeats,
    seed,
  )
  read = [not set(part.fields) <= model.ignored for part in parts]
  live.start('importance', sum(read) * repeats * len(seen.session))
  found = [
    measured.measure(part, live.advance, is_read)
    for part, is_read in zip(parts, read, strict=True)
  ]
  live.finish(f'{sum(read) * repeats} permutations')
  record = {
    'name': path.resolve().name,
    'stage': model.stage,
    'calibrated': bool(model.maps),
    'split': split,
    'rows': len(seen.session),
    'sessions': len(starts) - 1,
    'rows_of_split': host.rows,
    'repeats': repeats,
    'seed': seed,
    'bootstrap': run.config.evaluation.bootstrap,
    'confidence': intervals.CONFIDENCE,
    'tasks': list(run.manifest.task_names),
    'base': measured.base,
    'parts': found,
    'versions': provenance.versions(),
  }
  writers.write_json(path / 'importance.json', record)
  return record


def find_groups(
  texts: Sequence[str] | None, spec: types.FeatureSpec
) -> list[importance_lib.Part]:
  """The groups that are meant.

  Raises:
    types.InputError: no such field or group, no name, or one that is taken.
  """
  if texts is None:
    texts = [name for name, names in spec.groups if len(names) > 1]
  elif isinstance(texts, str):
    texts = (texts,)
  taken = {*spec.names, *spec.numeric_names}
  found = []
  for text in texts:
    name, colon, members = text.partition(':')
    if not name or (colon and not members):
      raise types.InputError(
        f'groups: {text!r:.80} is not NAME:FIELD+FIELD or a group of as-of'
        ' features'
      )
    if name in taken:
      raise types.InputError(
        f'groups: {name!r:.80} is the name of a field or of another group'
      )
    taken.add(name)
    fields = ignore.fields(members or name, spec, 'groups')
    if not fields:
      raise types.InputError(f'groups: {name!r:.80} has no field in the data')
    ordered = (n for n in (*spec.names, *spec.numeric_names) if n in fields)
    found.append(importance_lib.Part(name, tuple(ordered)))
  return found


def _sample(
  host: columns_lib.Rows, most: int, seed: int
) -> tuple[importance_lib.Rows, np.ndarray]:
  """The rows to measure on: whole sessions, in their order, and `starts`."""
  lengths = np.diff(host.starts)
  kept = np.arange(len(lengths))
  if most and host.rows > most:
    order = np.random.default_rng(seed).permutation(len(lengths))
    count = np.searchsorted(np.cumsum(lengths[order]), most, side='right')
    kept = np.sort(order[: max(int(count), 1)])
  starts = np.concatenate([[0], np.cumsum(lengths[kept])])
  places = np.repeat(host.starts[kept] - starts[:-1], lengths[kept])
  places += np.arange(starts[-1])
  features = host.take(places)
  inputs = types.Inputs(
    features.categorical,
    features.multi_valued,
    features.numeric,
    time=features.time,
  )
  session = np.repeat(np.arange(len(kept)), lengths[kept])
  weights = columns_lib.metric_weight(host)
  if weights is not None:
    weights = weights[places]
  rows = importance_lib.Rows(inputs, features.labels, session, weights)
  return rows, starts


def _predict(
  model: predictor.Predictor, inputs: types.Inputs, starts: np.ndarray
) -> np.ndarray:
  """Probabilities of all rows, whole sessions at a time, f32[R, K]."""
  found, begin, rows = [], 0, int(starts[-1])
  while begin < rows:
    last = np.searchsorted(starts, begin + model.chunk_rows, side='right') - 1
    end = int(starts[last])
    if end <= begin:  # a session of more rows than a chunk has
      end = min(begin + model.chunk_rows, rows)
    part = jax.tree.map(lambda x, b=begin, e=end: x[b:e], inputs)
    own = np.unique(np.clip(starts, begin, end)) - begin
    found.append(np.array(model.infer(part, own)))
    begin = end
  return np.concatenate(found)

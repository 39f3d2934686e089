"""The directory of a Ranker: a run with the table that it was fitted on.

ranker.json     what was asked for, and the digest of the table
log.parquet     the table
schema.json     what its columns mean
data/           the table prepared
...             what a run has (rmtl_jax/runtime/workdir.py)
"""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import shutil
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import durable, json_files, partial, types
from rmtl_jax.config import prepare as prepare_config
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import reading
from rmtl_jax.preparation import prepare as prepare_lib
from rmtl_jax.runtime import progress, workdir, writers

FILE, LOG, DATA = 'ranker.json', 'log.parquet', 'data'
_SCHEMA = 'schema.json'
# What must be the same when a fit goes on.
_SAME = ('log', 'schema', 'prepare')
# What a saved model has of its run: all but what only training needs.
_SAVED = (
  *('config.json', 'manifest.json', 'metrics.json', 'metrics.jsonl'),
  *('vocabulary', 'checkpoints', 'members', _SCHEMA, FILE),
)


def prepare(
  place: pathlib.Path,
  rows: pa.Table,
  asked: Mapping[str, Any],
  live: progress.Progress,
) -> manifest_lib.Manifest:
  """Writes a table to RUN and prepares it into RUN/data, unless that is done.

  Args:
    place: RUN.
    rows: the table.
    asked: `schema`, `prepare` (settings of PrepareConfig) and what else
      ranker.json keeps.
    live: where progress goes.

  Raises:
    types.InputError: RUN holds something else, or as for `rmtl prepare`; then
      nothing is left of it.
  """
  is_new = not place.exists()
  partly = place / f'.{LOG}.partial'
  # JSON's own types, as they come back from the file.
  wanted: dict[str, Any] = json.loads(json.dumps(asked, default=_plain))
  try:
    place.mkdir(parents=True, exist_ok=True)
    with durable.name_errors(partly):
      pq.write_table(rows, partly)
    wanted['log'] = reading.sha256(partly)
    _check(place, wanted)
    writers.write_json(place / FILE, wanted)
    durable.replace(partly, place / LOG)
    durable.write_text(place / _SCHEMA, json.dumps(wanted['schema'], indent=2))
  except OSError as error:
    raise types.InputError(f'{place}: not writable: {error.strerror}') from None
  except pa.ArrowException as error:
    raise types.InputError(
      f'table: not usable: {types.first_line(error)}'
    ) from None
  finally:
    with contextlib.suppress(OSError):
      partly.unlink(missing_ok=True)
      if is_new and not any(place.iterdir()):
        place.rmdir()
  if (place / DATA / 'manifest.json').is_file():
    return manifest_lib.read(place / DATA)
  options: dict[str, Any] = {
    name: tuple(value) if isinstance(value, list) else value
    for name, value in wanted['prepare'].items()
  }
  config = prepare_config.PrepareConfig(
    source='table',
    raw_dir=str(place / LOG),
    schema=str(place / _SCHEMA),
    data_dir=str(place / DATA),
    **options,
  )
  try:
    manifest = prepare_lib.prepare(config, live.step)
  except BaseException as error:
    for name in (LOG, _SCHEMA, FILE):
      (place / name).unlink(missing_ok=True)
    if is_new and not any(place.iterdir()):
      place.rmdir()
    if isinstance(error, types.InputError):
      # The caller knows of a table and its columns, and of no files.
      told = str(error).replace(str(place / LOG), 'table')
      raise types.InputError(
        told.replace(str(place / _SCHEMA), 'columns')
      ) from None
    raise
  live.clear()
  return manifest


def _check(place: pathlib.Path, asked: Mapping[str, Any]) -> None:
  """Refuses a directory that is not empty and not of the same fit."""
  file = place / FILE
  if not file.exists():
    others = [e.name for e in place.iterdir() if not e.name.startswith('.')]
    if others:
      raise types.InputError(
        f'{place}: holds {min(others)!r:.80} and no fitted Ranker; name another'
        ' workdir'
      )
    return
  found = json_files.read(file)
  with json_files.parsing(str(file)):
    for name in _SAME:
      if found[name] != asked[name]:
        what = 'table' if name == 'log' else name
        raise types.InputError(
          f'{place}: was fitted with another {what}; name another workdir'
        )


def save(
  source: pathlib.Path, target: pathlib.Path, with_log: bool, overwrite: bool
) -> None:
  """Copies a fitted RUN without its data and what only training needs.

  Args:
    source: RUN.
    target: a new directory.
    with_log: copies the table too.
    overwrite: replaces a saved model that is there.

  Raises:
    types.InputError: the place is taken, or can't be written.
  """
  real = pathlib.Path(os.path.realpath(target))
  if real == source.resolve():
    raise types.InputError(f'{target}: it was fitted there; name another place')
  if target.exists() and (not target.is_dir() or any(target.iterdir())):
    if not (target / FILE).is_file():
      raise types.InputError(f'{target}: is there already, and no saved Ranker')
    if not overwrite:
      raise types.InputError(
        f'{target}: is there already; overwrite=True replaces it'
      )
  with partial.staging_directory(real, str(target)) as directory:
    for name in (*_SAVED, *((LOG,) if with_log else ())):
      found = source / name
      if found.is_dir():
        shutil.copytree(found, directory / name, ignore=_of_training)
      elif found.is_file():
        shutil.copyfile(found, directory / name)
    durable.sync_tree(directory)
    partial.publish(directory, real)


def _of_training(directory: str, names: list[str]) -> list[str]:
  """Names of a run, or of a part of one, that only training needs."""
  gone = ['tensorboard', '.lock']
  if pathlib.Path(directory).name == 'checkpoints':
    gone += ['state', *map(workdir.moments, ('pretrain', 'critic'))]
  return [name for name in names if name in gone]


def _plain(value: Any) -> Any:
  """Mappings and sequences of any kind as dicts and lists."""
  return dict(value) if isinstance(value, Mapping) else list(value)

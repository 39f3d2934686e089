"""The directory of a Ranker: a run with the table that it was fitted on.

ranker.json     what was asked for, and the digest of the table
log.parquet     the table; after a warm start, appended to the earlier table
rows.parquet    of such a fit, the table that is added, until it is prepared
schema.json     what its columns mean
data/           the table prepared
...             the files of a run (rmtl_jax/runtime/workdir.py)
"""

from __future__ import annotations

import contextlib
import inspect
import json
import os
import pathlib
import shutil
import tempfile
import weakref
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import durable, json_files, partial, types
from rmtl_jax.config import prepare_settings
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, parquet, reading
from rmtl_jax.preparation import prepare_log as prepare_lib
from rmtl_jax.runtime import progress, workdir, writers

FILE, LOG, DATA = workdir.RANKER, 'log.parquet', 'data'
_ADDED = 'rows.parquet'
_SCHEMA = 'schema.json'
_OPTIONS = inspect.signature(prepare_settings.PrepareConfig).parameters
# Of these, what is a Ranker's own to say.
_OWN = ('source', 'raw_dir', 'data_dir', 'schema', 'overwrite')
# Must be unchanged when a fit is resumed.
_SAME = ('log', 'schema', 'prepare', 'start_from')
# Files of a run that a saved model keeps: all but those of training alone.
_SAVED = (
  *('config.json', 'manifest.json', 'metrics.json', 'metrics.jsonl'),
  *('vocabulary', 'checkpoints', 'members', _SCHEMA, FILE),
)


class Start(NamedTuple):
  """A fitted or saved Ranker that a fit starts from.

  Attributes:
    run: its directory, RUN.
    data_dir: its prepared data, to which the new rows are added.
    asked: the content of its ranker.json.
  """

  run: workdir.Run
  data_dir: pathlib.Path
  asked: Mapping[str, Any]


class Scratch:
  """A private directory that goes when nothing refers to this any more.

  Unlike tempfile's, which warns that it was not closed.
  """

  def __init__(self):
    self.path = pathlib.Path(tempfile.mkdtemp(prefix='rmtl-'))
    weakref.finalize(self, shutil.rmtree, self.path, ignore_errors=True)


def options(given: Mapping[str, Any]) -> dict[str, Any]:
  """Settings of PrepareConfig, checked before anything is written.

  Raises:
    types.InputError: no such setting, or a value that it can't have.
  """
  for name in given:
    if name not in _OPTIONS or name in _OWN:
      others = [n for n in _OPTIONS if n not in _OWN]
      raise types.InputError(
        config_values.unknown_setting(f'prepare.{name}', others)
      )
  found = dict(given)
  if isinstance(found.get('as_of'), str):
    found['as_of'] = (found['as_of'],)
  found = {n: tuple(v) if isinstance(v, list) else v for n, v in found.items()}
  prepare_settings.validate(prepare_settings.PrepareConfig(**found))
  return found


def prepare(
  place: pathlib.Path,
  rows: pa.Table,
  asked: Mapping[str, Any],
  live: progress.Progress,
  start: Start | None = None,
) -> manifest_lib.Manifest:
  """Writes a table to RUN and prepares it into RUN/data, unless that is done.

  Args:
    place: RUN.
    asked: `schema`, `prepare` (settings of PrepareConfig) and what else
      ranker.json keeps.
    start: what the rows come after, or None.

  Raises:
    types.InputError: RUN contains other files, or as for `rmtl prepare`; then
      nothing is left of it.
  """
  is_new = not place.exists()
  raw = place / (_ADDED if start else LOG)
  wanted = as_read(asked)
  _write(place, rows, wanted, raw, start)
  if (place / DATA / 'manifest.json').is_file():
    (place / _ADDED).unlink(missing_ok=True)
    return manifest_file.read(place / DATA)
  own = dict(asked['prepare'])
  if start is None:
    own['schema'] = str(place / _SCHEMA)
  else:  # its data say the other settings
    theirs, ours = start.asked['prepare'], wanted['prepare']
    own = {n: v for n, v in own.items() if theirs.get(n) != ours[n]}
    own['extend'] = str(start.data_dir)
  try:
    manifest = prepare_lib.prepare(
      prepare_settings.PrepareConfig(
        source='table',
        raw_dir=str(raw),
        data_dir=str(place / DATA),
        **own,
      ),
      live.step,
    )
  except BaseException as error:
    for name in (LOG, _SCHEMA, FILE):
      (place / name).unlink(missing_ok=True)
    if isinstance(error, types.InputError):
      # The caller passed a table and its columns, not files.
      line = str(error).replace(str(raw), 'table')
      line = line.replace(str(place / _SCHEMA), 'columns')
      raise types.InputError(line) from None
    raise
  finally:
    (place / _ADDED).unlink(missing_ok=True)
    if is_new and not any(place.iterdir()):
      place.rmdir()
  live.clear()
  return manifest


def _write(
  place: pathlib.Path,
  rows: pa.Table,
  wanted: dict[str, Any],
  raw: pathlib.Path,
  start: Start | None,
) -> None:
  """Writes all but the data, if RUN is this fit's; else nothing is left."""
  is_new = not place.exists()
  partly = place / f'.{LOG}.partial'
  try:
    with _naming(place):
      place.mkdir(parents=True, exist_ok=True)
      with durable.name_errors(partly):
        pq.write_table(rows, partly)
      wanted['log'] = reading.sha256(partly)
      _check(place, wanted)
      together = _after(start, rows)
      writers.write_json(place / FILE, wanted)
      durable.replace(partly, raw)
      if together is not None:
        pq.write_table(together, partly)
        durable.replace(partly, place / LOG)
      schema = json.dumps(wanted['schema'], indent=2)
      durable.write_text(place / _SCHEMA, schema)
  except pa.ArrowException as error:
    raise types.InputError(
      f'table: not usable: {types.first_line(error)}'
    ) from None
  finally:
    with contextlib.suppress(OSError):
      partly.unlink(missing_ok=True)
      if is_new and not any(place.iterdir()):
        place.rmdir()


@contextlib.contextmanager
def _naming(place: pathlib.Path) -> Iterator[None]:
  """Names RUN in errors of writing to it."""
  try:
    yield
  except OSError as error:
    raise types.InputError(f'{place}: not writable: {error.strerror}') from None


def _after(start: Start | None, rows: pa.Table) -> pa.Table | None:
  """The log so far and the new rows; None without the log so far."""
  if start is None or not (start.run.path / LOG).is_file():
    return None
  with parquet.open_file(start.run.path / LOG) as file:
    before = file.read()
  try:
    return pa.concat_tables([before, rows], promote_options='permissive')
  except pa.ArrowException as error:
    raise types.InputError(
      'table: its columns have other types than those of the rows before:'
      f' {types.first_line(error)}'
    ) from None


def data_dir(run: workdir.Run) -> pathlib.Path:
  """The prepared data of a Ranker, with its model or where it was fitted."""
  own = run.path / DATA
  return own if (own / 'manifest.json').is_file() else run.data_dir


def _check(place: pathlib.Path, asked: Mapping[str, Any]) -> None:
  """Refuses a directory that is not empty and not of the same fit."""
  file = place / FILE
  if not file.exists():
    # A process that was killed leaves the hidden ones, and this one.
    mine = '.', f'{FILE}.partial'
    others = [e.name for e in place.iterdir() if not e.name.startswith(mine)]
    if others:
      raise types.InputError(
        f'{place}: contains {min(others)!r:.80}, no fitted Ranker; name another'
        ' workdir'
      )
    return
  found = json_files.read(file)
  with json_files.parsing(str(file)):
    for name in _SAME:
      if found.get(name) != asked.get(name):
        what = 'table' if name == 'log' else name
        raise types.InputError(
          f'{place}: was fitted with another {what}; name another workdir'
        )


def read_start(path: str | os.PathLike[str]) -> Start:
  """Reads the Ranker that a fit starts from.

  Args:
    path: what `Ranker.save` wrote, or the `workdir` of a fitted one.

  Raises:
    types.InputError: neither of the two, or its prepared data are gone.
  """
  place = pathlib.Path(path).resolve()
  file = place / FILE
  if not file.is_file():
    raise types.InputError(
      f'start_from: {path} is no fitted or saved Ranker; runs of rmtl train go'
      ' on with rmtl train --start_from'
    )
  with json_files.parsing(str(file)):
    asked = json_files.read(file)
    for name in ('schema', 'prepare', 'left_out', 'parameters'):
      dict(asked[name])
  run = workdir.read(place)
  prepared = data_dir(run)
  if not (prepared / 'manifest.json').is_file():
    raise types.InputError(
      f'start_from: {path}: its prepared data, to which new rows are added, are'
      ' not there: keep its workdir, or save(..., with_data=True)'
    )
  return Start(run, prepared, asked)


def check_start(start: Start, params: Mapping[str, Any]) -> None:
  """Refuses parameters that differ from those of the earlier Ranker.

  Raises:
    types.InputError: names the first parameter that differs.
  """
  theirs = start.asked['parameters']
  ours = as_read({name: params[name] for name in ('tasks', 'schema')})
  for name in ours:
    if ours[name] != theirs.get(name):
      raise types.InputError(
        f'start_from: {start.run.path} was fitted with'
        f' {name}={theirs.get(name)!r:.200}, not {ours[name]!r:.200}'
      )


def save(
  source: pathlib.Path,
  target: pathlib.Path,
  with_log: bool,
  with_data: pathlib.Path | None,
  overwrite: bool,
) -> None:
  """Copies a fitted RUN without what only training needs.

  Args:
    source: RUN.
    target: a new directory.
    with_log: copies the table too.
    with_data: prepared data to copy too, or None.
    overwrite: replaces a saved model that is there.

  Raises:
    types.InputError: the place is taken, or can't be written.
    OSError: names the first file that could not be copied (a full disk).
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
        durable.copy_tree(found, directory / name, _of_training)
      elif found.is_file():
        durable.copy_file(found, directory / name)
    if with_data is not None:
      durable.copy_tree(with_data, directory / DATA)
    durable.sync_tree(directory)
    partial.publish(directory, real)


def _of_training(directory: str, names: list[str]) -> list[str]:
  """Names in a run, or a part of one, that only training needs."""
  gone = ['tensorboard', '.lock']
  if pathlib.Path(directory).name == 'checkpoints':
    gone.append('state')
  return [name for name in names if name in gone]


def as_read(asked: Mapping[str, Any]) -> dict[str, Any]:
  """Settings as they come back from a JSON file."""

  def plain(value: Any) -> Any:
    return dict(value) if isinstance(value, Mapping) else list(value)

  return json.loads(json.dumps(dict(asked), default=plain))

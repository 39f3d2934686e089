"""Serves exported models without the code that trained them.

    from rmtl_jax.serving import exported

    model = exported.load('exported/')
    model.predict({'user': [...], 'item': [...], ...})  # {task: f32[R]}

It needs jax, flatbuffers, numpy, pyarrow and duckdb; no Flax, Optax or Orbax.
`model.network(categorical, multi_valued, numeric)` calls the network itself,
on rows that were encoded elsewhere.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
from typing import Any

import jax
import numpy as np

from rmtl_jax import decoding, extras, types
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.serving import scorer
from rmtl_jax.serving.export import checked_files, program

FORMAT_VERSION = 2
RECORD, MODEL, PARAMETERS = 'export.json', 'model.bin', 'parameters'


class Exported(scorer.Scorer):
  """An exported model; `predict` takes raw rows (rmtl_jax.serving.scorer).

  Attributes:
    record: what export.json holds.
  """

  def __init__(
    self,
    path: pathlib.Path,
    record: dict[str, Any],
    manifest: manifest_lib.Manifest,
    function: Any,
    parameters: list[np.ndarray],
  ):
    """See `load`."""
    super().__init__(path, manifest, record['ignored'])
    self.record, self.stage = record, record['stage']
    self._parameters = jax.device_put(parameters)
    self._call = jax.jit(function.call)
    self._where = path / MODEL

  def network(self, *inputs: Any) -> np.ndarray:
    """See `Scorer.network`.

    Raises:
      types.InputError: inputs of other shapes or types, or a program that can't
        be compiled.
    """
    try:
      return np.asarray(self._call(self._parameters, *inputs))
    # JAX and XLA report bad inputs and programs by many types of errors.
    except (ValueError, TypeError, RuntimeError, NotImplementedError) as error:
      first = types.first_line(error)[:300]
      raise types.InputError(f'{self._where}: not run: {first}') from None


def load(path: str | os.PathLike[str], warm_up: int = 0) -> Exported:
  """Reads an exported model and checks its files.

  Args:
    path: OUT of `rmtl export`.
    warm_up: compile the programs of requests of up to so many rows.

  Raises:
    types.InputError: not an exported model; a file that is missing, changed or
      outside of the directory; a program with other operations than those that
      compute; a platform that it was not exported for; or flatbuffers is not
      installed.
  """
  extras.require('flatbuffers', 'an exported model')
  directory = pathlib.Path(path)
  record, files, manifest = read_checked(directory)
  for field in manifest.fields:
    if field.has_vocabulary:
      files.require(f'vocabulary/{field.name}.parquet')
  parameters = [
    files.read_array(entry['file'], tuple(entry['shape']), entry['dtype'])
    for entry in record['parameters']
  ]
  where = str(directory / MODEL)
  function = program.read(files.read(MODEL), where)
  try:
    program.check_signature(
      function,
      [(values.shape, values.dtype.name) for values in parameters],
      manifest.feature_spec().input_widths,
      len(manifest.tasks),
    )
  except program.ProgramError as error:
    raise types.InputError(f'{where}: {error}') from None
  backend = jax.default_backend()
  platform = 'cuda' if backend == 'gpu' else backend
  if platform not in function.platforms:
    raise types.InputError(
      f'{directory}: was exported for {", ".join(function.platforms)}, and this'
      f' machine computes on {platform}'
    )
  loaded = Exported(directory, record, manifest, function, parameters)
  if warm_up:
    loaded.warm_up(warm_up)
  return loaded


def read_checked(
  directory: pathlib.Path,
) -> tuple[dict[str, Any], checked_files.Files, manifest_lib.Manifest]:
  """Reads export.json and manifest.json, and checks all files.

  Raises:
    types.InputError: not an exported model, or a file that is missing, changed
      or outside of the directory.
  """
  record = _read_record(directory)
  files = checked_files.Files(directory, record['files'])
  files.check()
  files.require('manifest.json')
  return record, files, manifest_file.read_copy(directory)


@dataclasses.dataclass(frozen=True)
class _Parameter:
  file: str
  shape: tuple[int, ...]
  dtype: str


@dataclasses.dataclass(frozen=True)
class _Record:
  """What export.json must have."""

  format_version: int
  files: dict[str, Any]
  parameters: tuple[_Parameter, ...]
  ignored: tuple[str, ...]
  stage: str


def _read_record(directory: pathlib.Path) -> dict[str, Any]:
  """Reads export.json."""
  path = directory / RECORD
  record = checked_files.read_record(
    path, f'{directory} is not an exported model (make it with rmtl export)'
  )
  known = {field.name for field in dataclasses.fields(_Record)}
  decoding.decode(_Record, {n: record[n] for n in known & {*record}}, str(path))
  version = record['format_version']
  if version != FORMAT_VERSION:
    raise types.InputError(
      f'{path}: format_version is {version}, this program reads'
      f' {FORMAT_VERSION}; export the run again'
    )
  return record

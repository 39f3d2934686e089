"""The model that a server answers with, and newer ones."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import os
import pathlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import rmtl_jax
from rmtl_jax import types
from rmtl_jax.runtime import programs
from rmtl_jax.server import options as options_lib
from rmtl_jax.serving import raw_fields
from rmtl_jax.serving import scorer as scorer_lib

# What is written last, of an export and of a run: the first that is there
# tells one model from the next.
_RECORDS = ('export.json', 'metrics.json', 'config.json')
_loading = threading.local()


@dataclasses.dataclass(frozen=True)
class Served:
  """A model that is ready.

  Attributes:
    path: where it was read, links resolved.
    version: tells it from others.
    loaded: seconds since 1970.
    most: rows of the largest batch that programs are compiled for.
  """

  scorer: scorer_lib.Scorer
  path: str
  version: str
  mark: tuple[Any, ...]
  loaded: float
  most: int

  def described(self) -> dict[str, Any]:
    """The answer of `/v1/model`."""
    scorer, manifest = self.scorer, self.scorer.manifest
    encoder = scorer.encoder
    read = {field.name for field in encoder.read} | encoder.tastes.keys()
    columns = [
      raw_fields.source_field(field, manifest)
      for field in manifest.fields
      if field.name in read and 'as_of' not in field.details
    ]
    return {
      'version': self.version,
      'package': rmtl_jax.__version__,
      'stage': scorer.stage,
      'loaded': self.loaded,
      'source': manifest.source,
      'tasks': [
        {'name': task.name, 'kind': task.kind} for task in manifest.tasks
      ],
      'columns': [
        {'name': field.column, 'field': field.name, 'kind': field.kind}
        for field in columns
      ],
      'as_of': list(scorer.computed),
      'reads_sessions': scorer.needs.sessions,
    }


def mark(workdir: str) -> tuple[Any, ...]:
  """A mark that changes with the model at a path; () if there is none."""
  path = os.path.realpath(workdir)
  for name in _RECORDS:
    try:
      found = os.stat(os.path.join(path, name))
    except OSError:
      continue
    return path, name, found.st_ino, found.st_mtime_ns, found.st_size
  return ()


def load(settings: options_lib.Settings) -> Served:
  """Reads the model and compiles all programs that requests need.

  Raises:
    types.InputError: no model that can predict, or another one has taken its
      place meanwhile, so that half of either may have been read.
  """
  path = os.path.realpath(settings.workdir)
  seen = mark(path)
  try:
    record = pathlib.Path(path, seen[1]).read_bytes() if seen else b''
  except OSError as error:  # gone by now
    raise types.InputError(f'{path}: {types.first_line(error)}') from None
  with loading():
    model = rmtl_jax.load(path, settings.stage, settings.calibrated, warm_up=0)
    # A Ranker serves by the model inside of it.
    scorer = model.model_ if isinstance(model, rmtl_jax.Ranker) else model
    if mark(path) != seen:
      raise types.InputError(f'{path}: was replaced while it was read')
    scorer.warm_up(settings.max_rows)
  digest = hashlib.sha256(path.encode() + b'\0' + record).hexdigest()
  return Served(scorer, path, digest[:12], seen, time.time(), settings.max_rows)


@contextlib.contextmanager
def loading() -> Iterator[None]:
  """Counts this thread's compilations as part of a start or reload."""
  _loading.now = True
  try:
    yield
  finally:
    _loading.now = False


def count_compilations(metrics: Any) -> None:
  """Counts programs from now on."""

  def count() -> None:
    now = getattr(_loading, 'now', False)
    metrics.compilations.labels('start' if now else 'request').inc()

  programs.on_compiled(count)

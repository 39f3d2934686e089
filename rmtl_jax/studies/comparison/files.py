"""The files of a comparison's directory."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import re
from typing import Any

from rmtl_jax import types
from rmtl_jax.runtime import checkpoints, writers
from rmtl_jax.studies.comparison import methods

Job = methods.Job
Record = dict[str, Any]

# Seconds between checkpoints of a stage in training.
SAVE_PERIOD = 60.0
_LONGEST_NAME = 120


class Files:
  """Reads and writes the files; a run is finished when its file exists."""

  def __init__(self, path: pathlib.Path, runs: str = 'runs'):
    """Remembers the directory; reads nothing."""
    self._path, self._runs = path, path / runs

  def run(self, job: Job) -> pathlib.Path:
    """The JSON file of a finished run's metrics."""
    rate = '' if job.learning_rate is None else str(job.learning_rate)
    return self._runs / _slug(job.method) / rate / f'{job.seed}.json'

  def critics(self, job: Job) -> pathlib.Path:
    """The JSON file of finished critics' statistics."""
    return self._path / 'critics' / _slug(job.method) / f'{job.seed}.json'

  def read(self, file: pathlib.Path) -> Record:
    """Reads one of these files.

    Raises:
      types.InputError: it is damaged.
    """
    return writers.read_sealed(file, 'remove it to train the run again')

  def write(self, file: pathlib.Path, record: Record) -> None:
    """Writes one of these files atomically, with a digest of its record."""
    file.parent.mkdir(parents=True, exist_ok=True)
    writers.write_sealed(file, record)

  def unfinished(self, stage: str, job: Job) -> checkpoints.LateStore:
    """The checkpoints of a stage in training."""
    name = f'{stage}-{_slug(job.method)}-{job.learning_rate}-{job.seed}'
    return checkpoints.LateStore(self._path / 'unfinished' / name, SAVE_PERIOD)

  def save_params(self, stage: str, job: Job, params: Any) -> None:
    """Saves the parameters that later stages start from."""
    place = self._params(stage, job)
    with contextlib.closing(checkpoints.Store(place, keep=1)) as store:
      store.save(0, params, {'stage': stage, 'epoch': 0})

  def has_params(self, stage: str, job: Job) -> bool:
    """Whether these parameters are there."""
    return self._params(stage, job).is_dir()

  def load_params(self, stage: str, job: Job, template: Any) -> Any:
    """Restores these parameters.

    Raises:
      types.InputError: they are damaged or gone.
    """
    directory = self._params(stage, job)
    with contextlib.closing(checkpoints.Store(directory, keep=1)) as store:
      restored = store.restore(lambda record: template)
    if restored is None:
      raise types.InputError(
        f'{directory}: no checkpoint, though the stage is finished: remove its'
        ' file under runs/ or critics/ to train it again'
      )
    return restored.arrays

  def _params(self, stage: str, job: Job) -> pathlib.Path:
    slug = _slug(job.method)
    return self._path / 'checkpoints' / stage / slug / str(job.seed)


def _slug(method: methods.Method) -> str:
  """Turns the method's name into a file name; a hash replaces a long end."""
  name = re.sub(r'[^\w.+@=-]', ',', method.name)
  if len(name) <= _LONGEST_NAME:
    return name
  digest = hashlib.blake2b(method.name.encode(), digest_size=8).hexdigest()
  return f'{name[:_LONGEST_NAME]}-{digest}'

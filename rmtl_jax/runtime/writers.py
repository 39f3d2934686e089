"""Logs of a run: JSON lines, and what trackers make of them."""

from __future__ import annotations

import json
import math
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rmtl_jax import durable, json_files, types
from rmtl_jax.runtime.tracking import sending
from rmtl_jax.runtime.tracking import trackers as registry


def write_json(path: pathlib.Path, record: Any) -> None:
  """Writes a JSON file atomically; NaN and infinity are refused."""
  text = json.dumps(record, indent=2, allow_nan=False)
  durable.write_text(path, text + '\n')


def write_sealed(path: pathlib.Path, record: Mapping[str, Any]) -> None:
  """Writes a JSON file atomically, with a digest of its record."""
  write_json(path, json_files.sealed(record))


def read_sealed(path: pathlib.Path, remedy: str) -> dict[str, Any]:
  """Reads a JSON file that `write_sealed` wrote.

  Args:
    remedy: how the error ends.

  Raises:
    types.InputError: it is damaged, or has no digest.
  """
  try:
    record = json_files.read(path)
  except types.InputError as error:
    raise types.InputError(f'{error}: {remedy}') from None
  if not isinstance(record, dict) or json_files.DIGEST not in record:
    raise types.InputError(f'{path}: has no digest: {remedy}')
  del record[json_files.DIGEST]
  return record


class Writer:
  """Writes RUN/metrics.jsonl, a record per epoch or pass, and updates trackers.

  Every start of the run rewrites metrics.jsonl and RUN/tensorboard/ from its
  history, so they have every epoch once, however often the run was resumed.
  """

  def __init__(
    self,
    workdir: pathlib.Path,
    history: list[dict[str, Any]],
    trackers: Sequence[str] = registry.DEFAULT,
    say: Callable[[str], None] = lambda line: None,
  ):
    """Rewrites the logs from the checkpoint's history.

    Args:
      workdir: the run's directory.
      history: records of the epochs in the checkpoint; lines of later epochs,
        which a killed run had not saved, are dropped.
      say: where warnings go.

    Raises:
      types.InputError: no such tracker, or one that can't be opened.
    """
    self._path = workdir / 'metrics.jsonl'
    self.rewrite(history)
    self._trackers: list[registry.Tracker | sending.Sender] = []
    for record in map(registry.TRACKERS.find, dict.fromkeys(trackers)):
      self._trackers.append(
        record.open(workdir, '')
        if record.is_local
        else sending.Sender(record, workdir, say)
      )
    for one in history:
      self._track(one)

  def rewrite(self, history: list[dict[str, Any]]) -> None:
    """Replaces metrics.jsonl by these records, atomically."""
    lines = ''.join(_line(record) for record in history)
    durable.write_text(self._path, lines)

  def write(self, record: dict[str, Any]) -> None:
    """Appends a record; trackers get its numbers by stage and member."""
    with (
      durable.name_errors(self._path),
      self._path.open('a', encoding='utf-8') as file,
    ):
      file.write(_line(record))
    self._track(record)

  def _track(self, record: dict[str, Any]) -> None:
    tag = record['stage']
    if 'member' in record:
      tag += f'/member_{record["member"]}'
    values = {
      f'{tag}/{name}': value
      for name, value in record.items()
      if isinstance(value, int | float) and name not in ('epoch', 'member')
    }
    for tracker in self._trackers:
      tracker.metrics(values, int(record.get('epoch', 0)))

  def parameters(self, values: Mapping[str, Any]) -> None:
    """Hands the settings to trackers."""
    for tracker in self._trackers:
      tracker.parameters(values)

  def finish(self, record: Mapping[str, Any]) -> None:
    """Hands the metrics and files of a finished run to trackers."""
    values = _results(record)
    names = ('config.json', 'manifest.json', 'metrics.json', 'metrics.jsonl')
    paths = [self._path.parent / name for name in names]
    for tracker in self._trackers:
      tracker.metrics(values, None)
      tracker.artifacts([path for path in paths if path.is_file()])

  def close(self) -> None:
    """Flushes everything."""
    for tracker in self._trackers:
      tracker.close()


class NoWriter(Writer):
  """The Writer of processes other than the first: no files, no trackers."""

  def __init__(self):
    self._path, self._trackers = pathlib.Path(), []

  def rewrite(self, history: list[dict[str, Any]]) -> None:
    """Nothing."""

  def write(self, record: dict[str, Any]) -> None:
    """Nothing."""


def _results(record: Mapping[str, Any]) -> dict[str, float]:
  """{'split/stage/metric_task': value} of metrics.json."""
  return {
    f'{record["split"]}/{stage}/{name}_{task}': value
    for stage, tasks in record['stages'].items()
    for task, metrics in tasks.items()
    for name, value in metrics.items()
    if isinstance(value, int | float) and math.isfinite(value)
  }


def _line(record: dict[str, Any]) -> str:
  return json.dumps(record, allow_nan=False) + '\n'


def read_history(path: pathlib.Path) -> list[dict[str, Any]]:
  """The records of RUN/metrics.jsonl, one per epoch or pass."""
  lines = (path / 'metrics.jsonl').read_text(encoding='utf-8').splitlines()
  return [json.loads(line) for line in lines]

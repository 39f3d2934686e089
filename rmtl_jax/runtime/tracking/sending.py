"""Trackers outside of RUN: sent every epoch once, and never a run's end.

RUN/tracking/NAME.json contains the tracker's run id and its epochs.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rmtl_jax import durable, json_files, types
from rmtl_jax.runtime.tracking import trackers


class Sender:
  """A tracker outside of RUN; its first failure is a warning."""

  def __init__(
    self,
    record: trackers.TrackerRecord,
    workdir: pathlib.Path,
    say: Callable[[str], None],
  ):
    """Opens the tracker.

    Raises:
      types.InputError: it can't be opened.
    """
    self._name, self._say = record.name, say
    self._file = workdir / 'tracking' / f'{record.name}.json'
    run_id, sent = _read(self._file)
    try:
      self._tracker: trackers.Tracker | None = record.open(workdir, run_id)
    except types.InputError:
      raise
    except Exception as error:  # whatever the tracker's library raises
      raise types.InputError(
        f'tracker {record.name}: {types.first_line(error)}'
      ) from None
    self._sent = sent if self._tracker.run_id == run_id else []
    self._keep(self._tracker.run_id)

  def parameters(self, values: Mapping[str, Any]) -> None:
    """See `Tracker.parameters`."""
    self._call('parameters', values)

  def metrics(self, values: Mapping[str, float], step: int | None) -> None:
    """See `Tracker.metrics`; an epoch that was sent is not sent again."""
    key = f'{next(iter(values), "").rpartition("/")[0]} {step}'
    if step is not None and key in self._sent:
      return
    self._call('metrics', values, step)
    if step is not None and self._tracker is not None:
      self._sent.append(key)
      self._keep(self._tracker.run_id)

  def artifacts(self, paths: Sequence[pathlib.Path]) -> None:
    """See `Tracker.artifacts`."""
    self._call('artifacts', paths)

  def close(self) -> None:
    """See `Tracker.close`."""
    self._call('close')

  def _call(self, name: str, *arguments: Any) -> None:
    if self._tracker is None:
      return
    try:
      getattr(self._tracker, name)(*arguments)
    except Exception as error:  # whatever the tracker's library raises
      self._tracker = None
      self._say(
        f'WARNING: tracker {self._name} gets no more of this run:'
        f' {types.first_line(error)}'
      )

  def _keep(self, run_id: str) -> None:
    self._file.parent.mkdir(exist_ok=True)
    record = {'run_id': run_id, 'sent': self._sent}
    durable.write_text(self._file, json.dumps(record) + '\n')


def _read(file: pathlib.Path) -> tuple[str, list[str]]:
  """The tracker's run and the epochs that it has; ('', []) for none."""
  if not file.exists():
    return '', []
  record = json_files.read(file)
  with json_files.parsing(str(file)):
    return str(record['run_id']), [str(key) for key in record['sent']]

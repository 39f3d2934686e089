"""The registry of trackers: TensorBoard, MLflow, Weights & Biases, own ones."""

from __future__ import annotations

import dataclasses
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from rmtl_jax import extras, registry


class Tracker(Protocol):
  """Tracker of one run; called by the process that writes.

  Attributes:
    run_id: by which `open` finds the run again; '' where RUN itself has it.
  """

  run_id: str

  def parameters(self, values: Mapping[str, Any]) -> None:
    """Takes the settings, {'group.field': value}; again on every start."""

  def metrics(self, values: Mapping[str, float], step: int | None) -> None:
    """Takes numbers by name, such as `pretrain/loss`.

    Args:
      values: finite ones.
      step: the epoch; None: of the whole run, such as `test/finetune/auc_buy`.
    """

  def artifacts(self, paths: Sequence[pathlib.Path]) -> None:
    """Takes the files of a finished run."""

  def close(self) -> None:
    """Ends; without artifacts before, the run was cut off."""


@dataclasses.dataclass(frozen=True)
class TrackerRecord:
  """One tracker.

  Attributes:
    name: value of `--tracker`.
    open: open(RUN, run_id) -> Tracker; resumes that run unless it is ''
      or gone. Errors of any kind refuse the run in one line.
    package: the package that it needs, by its name for pip; '' for none.
    is_local: whether it writes into RUN, again on every start. Others are sent
      an epoch once, and a run does not fail with them.
  """

  name: str
  open: Callable[[pathlib.Path, str], Tracker]
  package: str = ''
  is_local: bool = False


_ROOM = 'rmtl_jax.runtime.tracking'
TRACKERS = registry.Registry(
  'tracker',
  (
    TrackerRecord(
      'tensorboard',
      registry.lazy(f'{_ROOM}.tensorboard', 'Board'),
      is_local=True,
    ),
    TrackerRecord('mlflow', registry.lazy(f'{_ROOM}.mlflow', 'Run'), 'mlflow'),
    TrackerRecord('wandb', registry.lazy(f'{_ROOM}.wandb', 'Run'), 'wandb'),
  ),
)
DEFAULT = ('tensorboard',)


def check(names: Iterable[str]) -> None:
  """Refuses trackers that there are not, before a run begins.

  Raises:
    types.InputError: no such tracker, or its package is not installed.
  """
  for name in names:
    package = TRACKERS.find(name).package
    if package:
      extras.require(package, f'tracker {name}')


def register_tracker(
  name: str, open: Callable[[pathlib.Path, str], Tracker]
) -> None:
  """Adds a tracker of the caller's own, in this process.

  Args:
    name: not one that exists.
    open: open(RUN, run_id) -> Tracker; resumes that run unless it is ''
      or gone.

  Raises:
    types.InputError: the name is taken.
  """
  TRACKERS.register(TrackerRecord(name, open))

"""A copy of a search's trials in a database of Optuna's, to look at.

The search itself reads nothing of it: it draws the same trials with a copy and
without, and resumes from its finished runs.
"""

from __future__ import annotations

import pathlib
from collections.abc import Mapping
from typing import Any

from rmtl_jax import types
from rmtl_jax.evaluation import monitor as monitor_lib


class Copy:
  """Adds finished trials to a study; without a study it does nothing."""

  def __init__(
    self,
    optuna: Any = None,
    study: Any = None,
    monitor: monitor_lib.Monitor = monitor_lib.AUC,
  ):
    """Asks the study which trials an earlier start of the search has added."""
    self._optuna, self._study, self._monitor = optuna, study, monitor
    self._there = {
      trial.user_attrs.get('number')
      for trial in (study.get_trials(deepcopy=False) if study else ())
    }

  def add(
    self, record: Mapping[str, Any], number: int, trial: Any = None
  ) -> None:
    """Adds a finished trial unless it is there.

    Args:
      record: its settings and values, as in tuning.json.
      number: of the trial; 0 has the settings that were given.
      trial: the optuna.Trial that drew it, or None.
    """
    if self._study is None or number in self._there:
      return
    self._there.add(number)
    self._study.add_trial(
      self._optuna.trial.create_trial(
        params=trial.params if trial else {},
        distributions=trial.distributions if trial else {},
        value=record[self._monitor.figure],
        user_attrs={
          'number': number,
          'settings': dict(record['settings']),
          'by_seed': list(record['by_seed']),
          'pruned': record['pruned'],
        },
      )
    )


def open_copy(
  optuna: Any,
  url: str,
  path: pathlib.Path,
  search: Mapping[str, Any],
  monitor: monitor_lib.Monitor = monitor_lib.AUC,
) -> Copy:
  """Opens the study of a search, which has the name of its directory.

  A study of another search in this directory is replaced: its numbers of
  trials mean other settings.

  Args:
    url: of the database, created if missing; '' for no copy.
    search: what the trials follow from, as JSON can hold it.

  Raises:
    types.InputError: the database can't be opened.
  """
  if not url:
    return Copy()
  name = str(path.resolve())
  try:
    study = _open(optuna, url, name, monitor)
    if study.user_attrs.get('search', search) != search:
      optuna.delete_study(study_name=name, storage=url)
      study = _open(optuna, url, name, monitor)
    study.set_user_attr('search', dict(search))
  except Exception as error:  # of SQLAlchemy, of a driver, of Optuna
    raise types.InputError(
      '--storage: cannot be opened, expected a URL such as'
      f' sqlite:///trials.db: {types.first_line(error)}'
    ) from None
  return Copy(optuna, study, monitor)


def _open(
  optuna: Any, url: str, name: str, monitor: monitor_lib.Monitor
) -> Any:
  return optuna.create_study(
    storage=url,
    study_name=name,
    direction=monitor.direction,
    load_if_exists=True,
  )

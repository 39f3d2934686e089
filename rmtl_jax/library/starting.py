"""Warm starts of a fit: `Ranker.fit(table, start_from=...)`.

Its rows are added to the data of the other Ranker, as `rmtl prepare --extend`
does, and its model starts with the other's, as `rmtl train --start_from` does.
"""

from __future__ import annotations

import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from rmtl_jax import json_files, types
from rmtl_jax.library import fitting
from rmtl_jax.runtime import workdir

# Parameters of a Ranker that its start has settled.
_SETTLED = ('tasks', 'schema')


class Start(NamedTuple):
  """A fitted or saved Ranker that a fit starts from.

  Attributes:
    run: its directory, RUN.
    data_dir: its prepared data.
    asked: the content of its ranker.json.
  """

  run: workdir.Run
  data_dir: pathlib.Path
  asked: Mapping[str, Any]

  def earlier(self, given: Mapping[str, Any]) -> fitting.Earlier:
    """The earlier rows, which the new ones follow.

    Args:
      given: settings of PrepareConfig; those of the start are left out, as its
        data say them.
    """
    theirs = self.asked['prepare']
    ours = json.loads(json.dumps(dict(given), default=fitting.plain))
    log = self.run.path / fitting.LOG
    return fitting.Earlier(
      self.data_dir,
      log if log.is_file() else None,
      {n: v for n, v in given.items() if theirs.get(n) != ours[n]},
    )


def read(path: str | os.PathLike[str]) -> Start:
  """Reads the Ranker that a fit starts from.

  Args:
    path: what `Ranker.save` wrote, or the `workdir` of a fitted one.

  Raises:
    types.InputError: neither of the two, or its prepared data are gone.
  """
  place = pathlib.Path(path).resolve()
  file = place / fitting.FILE
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
  data_dir = fitting.data_dir(run)
  if not (data_dir / 'manifest.json').is_file():
    raise types.InputError(
      f'start_from: {path}: its prepared data, to which new rows are added, are'
      ' not there: keep its workdir, or save(..., with_data=True)'
    )
  return Start(run, data_dir, asked)


def check(start: Start, params: Mapping[str, Any]) -> None:
  """Refuses parameters that differ from those of the earlier Ranker.

  Raises:
    types.InputError: names the first parameter that differs.
  """
  theirs = start.asked['parameters']
  settled = {name: params[name] for name in _SETTLED}
  ours = json.loads(json.dumps(settled, default=fitting.plain))
  for name in _SETTLED:
    if ours[name] != theirs.get(name):
      raise types.InputError(
        f'start_from: {start.run.path} was fitted with'
        f' {name}={theirs.get(name)!r:.200}, not {ours[name]!r:.200}'
      )

"""The authors' own way from a log to sessions, beside `rmtl prepare`'s.

Their `MTEnv` (env.py of the released code) reads item features and a table of
rows in which every row holds its session so far as text, maps categories and
makes an array of states per session. It needs pandas and NumPy; gym, torch and
the networks, which the module imports too, are empty here.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import pathlib
import sys
from unittest import mock

import numpy as np

from benchmarks import workload

# Their names of the fields of RetailRocket, in the order of VOCABULARIES, and
# those whose rare values share a row.
_FIELDS = ('785', '591', '814', '776', 'available', 'categoryid', '364')
_FILTERED = ('776', '364')
_UNUSED = (
  'gym',
  'torch',
  'torch.nn',
  'torch.nn.functional',
  'layers.critic',
  'slmodels.esmm',
  'slmodels.mmoe',
)


class Theirs:
  """Reads a log by their code, over and over."""

  def __init__(self, code: str, log: workload.Workload, directory: str):
    """Writes what their code reads.

    Args:
      code: their repository.
      log: the rows.
      directory: where the files go.
    """
    self._rows, self._directory = log.rows, directory
    sys.path.insert(0, code)
    unused = {name: mock.MagicMock() for name in _UNUSED}
    unused['gym'].Env = unused['gym'].ActionWrapper = object
    with mock.patch.dict(sys.modules, unused):
      self._env = importlib.import_module('env')
      utils = importlib.import_module('train.utils')
    self._write(log)
    mapper = utils.Catemapper(threshold=0.2)
    with contextlib.redirect_stdout(io.StringIO()):
      mapper.make_mapper(f'{directory}/items.csv', [*_FIELDS], [*_FILTERED])
    mapper.save_mapper(directory)

  def _write(self, log: workload.Workload) -> None:
    """Writes items.csv and rows.csv."""
    # Optional, so imported where it is used.
    import pandas as pd  # pyright: ignore[reportMissingImports]

    directory = pathlib.Path(self._directory)
    columns, item = log.columns(), log.items_of_rows()
    known, first = np.unique(item, return_index=True)
    items = {n: columns.categorical[first, i] for i, n in enumerate(_FIELDS)}
    pd.DataFrame({'itemid': known, **items}).to_csv(
      directory / 'items.csv', index=False
    )
    states: list[str] = []
    for begin, end in zip(columns.starts, columns.starts[1:], strict=False):
      seen = [[int(one)] for one in item[begin:end]]
      states += [str(seen[:n]) for n in range(end - begin + 1)]
    # A session of n rows has n + 1 states: all but the last are a row's own,
    # all but the first a row's next.
    place = np.arange(log.rows) + columns.session
    pd.DataFrame(
      {
        'timestamp': np.arange(log.rows),
        'visitorid': columns.session,
        'itemid': item,
        'click': columns.labels[:, 0].astype(int),
        'pay': columns.labels[:, 1].astype(int),
        'state': [states[n] for n in place],
        'next_state': [states[n + 1] for n in place],
      }
    ).to_csv(directory / 'rows.csv', index=False)

  def __call__(self) -> None:
    """Makes the sessions."""
    with contextlib.redirect_stdout(io.StringIO()):
      made = self._env.MTEnv(
        f'{self._directory}/rows.csv',
        f'{self._directory}/items.csv',
        self._directory,
        nrows=self._rows,
      )
      made.getMDP()

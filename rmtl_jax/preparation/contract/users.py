"""Checks that users stay whole where data is split by user.

A session goes where its first row's user goes, whoever comes after.
"""

from __future__ import annotations

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation.contract import columns as contract_columns

_COLUMN = 'user_id'


class Users:
  """The users of the splits so far; of data split otherwise it has none."""

  def __init__(self, manifest: manifest_lib.Manifest):
    """Has seen no row yet."""
    self._stay_whole = manifest.options.get('split_by') == 'user'
    self._of_split: dict[str, np.ndarray] = {}

  def check(self, values: contract_columns.BatchColumns, split: str) -> None:
    """Adds the users of some rows.

    Args:
      values: the rows; a user that is null is none, and of a session its first
        row's user counts.

    Raises:
      types.InputError: such a user is in another split too.
    """
    if _COLUMN not in values.table.column_names:
      return
    users = values.integers(_COLUMN, nullable=True)
    if not self._stay_whole:
      return
    known = values.table[_COLUMN].is_valid().to_numpy()
    known &= values.integers('step') == 0
    for other, others in self._of_split.items():
      if other != split:
        values.require(
          ~(known & np.isin(users, others)),
          _COLUMN,
          f'is in {other} too',
          'another user, as manifest.json says split_by: user',
        )
    so_far = self._of_split.get(split, np.zeros(0, np.int64))
    self._of_split[split] = np.union1d(so_far, users[known])

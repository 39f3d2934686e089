"""The critics' Q of a run at every row, for your own pictures."""

from __future__ import annotations

import os
import pathlib
from typing import NamedTuple

import numpy as np

from rmtl_jax import types
from rmtl_jax.data import reading
from rmtl_jax.evaluation import critic_statistics
from rmtl_jax.results import figures, trained_ensemble
from rmtl_jax.runtime import programs, workdir
from rmtl_jax.training import split_data


class RowValues(NamedTuple):
  """R rows, sessions one after the other, each in its own order.

  Attributes:
    session: number of the row's session, i64[R].
    rows_left: rows of its session after it, i64[R].
    policy: probabilities by the pre-trained actor, pi(s), f32[R, K].
    q_values: the critics' values, Q(s, pi(s)), f32[R, K].
    returns: the discounted sum of this and the later rows' rewards, f64[R, K].
  """

  session: np.ndarray
  rows_left: np.ndarray
  policy: np.ndarray
  q_values: np.ndarray
  returns: np.ndarray


@programs.in_32_bits
def row_values(
  path: str | os.PathLike[str], split: str = 'validation'
) -> RowValues:
  """Computes a run's Q-values and the returns that came.

  Args:
    path: RUN, its stage 2 finished. Of an ensemble the figures are means over
      the members.
    split: 'train', 'validation' or 'test'.

  Returns:
    The split's rows; tasks in the order of the manifest.

  Raises:
    types.InputError: not a run, one without critics, or its data was replaced.
  """
  run = workdir.read_run(pathlib.Path(path))
  with reading.shared_lock(run.data_dir):
    workdir.check_own_data(run, (split,))
    trained = trained_ensemble.restore(run)
    rows = split_data.read(run.data_dir, run.manifest, split, run.config.batch)
    members = trained.critic_values(rows)
  if not members:
    raise types.InputError(f'{path}: no critics; rmtl train adds them')
  host, config = rows.host, run.config.critic
  returns = [figures.returns(one.policy, host, config) for one in members]
  return RowValues(
    np.asarray(host.session),
    critic_statistics.rows_remaining(host.session),
    np.mean([one.policy for one in members], axis=0),
    np.mean([one.q_values for one in members], axis=0),
    np.mean(returns, axis=0),
  )

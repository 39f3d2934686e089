"""Whether live rows differ from those of a reference by more than chance.

Rows of one user or session depend on each other, so that a thousand of them
tell less than a thousand independent ones. Rao and Scott ("On chi-squared tests
for multiway contingency tables with cell proportions estimated from survey
data", Annals of Statistics 12, 1984) divide the statistic by the mean design
effect: how many times larger the variance of a share is than that of as many
independent rows. The population stability index is, without a shift, such a
statistic over (1 / n + 1 / m) for n and m rows.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import scipy.stats

from rmtl_jax.preparation.description import drift

# Independent rows that a group has to expect: with fewer the index is not
# distributed as the test needs it, and the group joins the last one.
_LEAST_EXPECTED = 5.0


class Shift(NamedTuple):
  """How far live values are from the reference.

  Attributes:
    psi: the population stability index.
    chance: what it is on average without a shift.
    limit: what chance exceeds with the given probability alone; infinite where
      there are too few rows to tell.
  """

  psi: float
  chance: float
  limit: float


def shift(
  reference: np.ndarray,
  group: np.ndarray,
  cluster: np.ndarray | None,
  level: float,
) -> Shift:
  """Compares the groups of live values with those of a reference.

  Args:
    reference: f64[G], the reference's values in each group.
    group: [R], the group of each live value.
    cluster: [R], codes from 0 of what binds values (the user, the session), or
      None: values are independent.
    level: the probability with which chance may exceed the limit.
  """
  rows, total = len(group), float(np.sum(reference))
  if not rows or not total:
    return Shift(0.0, 0.0, np.inf)
  effect = design_effect(group, cluster)
  merged = _merged(reference / total, rows / effect)
  counts = np.bincount(merged[group], minlength=len(reference))
  kept = np.unique(merged)
  before = np.bincount(merged, reference, len(reference))[kept]
  groups = len(kept)
  if groups < 2:
    return Shift(0.0, 0.0, np.inf)
  index, chance = drift.psi(before, counts[kept])
  effect = design_effect(merged[group], cluster)
  chance *= effect
  clusters = rows if cluster is None else len(np.unique(cluster))
  if clusters < 2:
    return Shift(index, chance, np.inf)
  # F rather than chi squared: few clusters tell little of the design effect.
  limit = scipy.stats.f.isf(level, groups - 1, clusters - 1)
  return Shift(index, chance, float(chance * limit))


def design_effect(group: np.ndarray, cluster: np.ndarray | None) -> float:
  """The mean design effect of the shares of groups, at least 1.

  >>> group = np.array([0, 0, 1, 1, 0, 0, 1, 1])
  >>> design_effect(group, None)
  1.0
  >>> round(design_effect(group, np.array([0, 0, 1, 1, 2, 2, 3, 3])), 2)
  2.67

  Args:
    group: [R], from 0.
    cluster: [R], codes from 0, or None.
  """
  if cluster is None or not len(group):
    return 1.0
  sizes = np.bincount(cluster).astype(np.float64)
  clusters, rows = np.count_nonzero(sizes), len(group)
  totals = np.bincount(group).astype(np.float64)
  present = np.flatnonzero(totals)
  if clusters < 2 or len(present) < 2 or clusters == rows:
    return 1.0
  # Rows of every cluster in every group, where there are any.
  width = len(totals)
  pairs, counts = np.unique(
    cluster.astype(np.int64) * width + group, return_counts=True
  )
  of_cluster, of_group = pairs // width, pairs % width
  share = totals / rows
  # The sum over clusters of (n_cg - n_c q_g)^2, multiplied out.
  squares = (
    np.bincount(of_group, counts.astype(np.float64) ** 2, width)
    - 2.0 * share * np.bincount(of_group, counts * sizes[of_cluster], width)
    + share**2 * np.sum(sizes**2)
  )[present]
  variances = squares / rows**2 * clusters / (clusters - 1)
  effects = rows * variances / share[present]
  return max(float(effects.sum() / (len(present) - 1)), 1.0)


def ratio_error(
  predictions: np.ndarray, labels: np.ndarray, cluster: np.ndarray | None
) -> float:
  """The standard error of log(sum of predictions / sum of labels).

  Of a ratio estimator, by clusters; infinite with fewer than two.

  Args:
    predictions: [R].
    labels: [R], their sum above 0.
    cluster: [R], codes from 0, or None.
  """
  total = float(np.sum(labels))
  residual = predictions - labels * (float(np.sum(predictions)) / total)
  if cluster is not None:
    residual = np.bincount(cluster, residual)
    clusters = len(np.unique(cluster))
  else:
    clusters = len(residual)
  if clusters < 2:
    return float('inf')
  spread = np.sqrt(np.sum(residual**2) * clusters / (clusters - 1))
  return float(spread / np.sum(predictions))


def _merged(share: np.ndarray, rows: float) -> np.ndarray:
  """The group that each group counts as, i64[G]; small ones join the last.

  Args:
    share: of the reference, [G].
    rows: independent live ones.
  """
  last = len(share) - 1
  own = np.arange(last + 1)
  small = share * rows < _LEAST_EXPECTED
  own[small] = last
  if share[own == last].sum() * rows < _LEAST_EXPECTED and not small.all():
    # The last one is small still: the smallest of the others joins it.
    others = np.flatnonzero(~small)
    own[others[np.argmin(share[others])]] = last
  return own

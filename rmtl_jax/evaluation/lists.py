"""Ranking metrics within groups: rows of a session or of a user.

Arrays are one-dimensional over R rows; groups have numbers from 0. Rows of one
score stand in any order with equal chances, so metrics are the mean over all of
these orders and the rows' own order does not matter.
"""

from __future__ import annotations

import numpy as np

from rmtl_jax import types
from rmtl_jax.evaluation import groups as groups_lib


def ndcg(
  labels: np.ndarray,
  scores: np.ndarray,
  codes: np.ndarray,
  groups: int,
  top: int,
) -> float:
  """NDCG@top: the mean over groups of DCG / that of the best order.

  DCG sums (2^y - 1) / log2(rank + 1) over the first `top` ranks (Järvelin and
  Kekäläinen, TOIS 2002; gains of Burges et al., ICML 2005); rows of one score
  share the mean of their ranks' discounts (McSherry and Najork, ECIR 2008).
  Labels below 0 gain nothing, as those of 0.

  Examples:
    >>> one_group = np.zeros(3, int)
    >>> labels, scores = np.array([0, 1, 0]), np.array([0.9, 0.5, 0.1])
    >>> round(ndcg(labels, scores, one_group, 1, 10), 4)  # 1 / log2(3)
    0.6309

  Args:
    labels: [R].
    scores: [R].
    codes: i64[R], the row's group, in any order.
    top: ranks that count.

  Returns:
    NDCG in [0, 1]; NaN where no group has a positive, or a score is NaN.
  """
  types.check_same_shape(labels, scores, codes)
  if not len(labels) or np.isnan(scores).any():
    return float('nan')
  # Over 2^y of the group's largest label, which may be too large for a power.
  positive = np.maximum(labels.astype(np.float64), 0.0)
  largest = np.zeros(groups)
  np.maximum.at(largest, codes, positive)
  own = largest[codes]
  gains = np.exp2(positive - own) - np.exp2(-own)
  # Groups without a positive have no best order. In logs they are most groups.
  has_gain = np.bincount(codes, gains, minlength=groups) > 0.0
  kept = np.flatnonzero(has_gain[codes])
  if not len(kept):
    return float('nan')
  codes, gains, scores = codes[kept], gains[kept], scores[kept]
  order = np.lexsort((-scores, codes))
  discounts = _discounts(codes[order], top)
  _, tie, sizes = _ties(codes[order], scores[order])
  shared = (np.add.reduceat(discounts, tie) / sizes).repeat(sizes)
  found = np.bincount(codes[order], gains[order] * shared, minlength=groups)
  best_order = np.lexsort((-gains, codes))
  best = np.bincount(
    codes[best_order], gains[best_order] * discounts, minlength=groups
  )
  return float(np.mean(found[has_gain] / best[has_gain]))


def mrr(
  labels: np.ndarray, scores: np.ndarray, codes: np.ndarray, groups: int
) -> float:
  """MRR: the mean over groups of 1 / rank of the first positive.

  Examples:
    >>> one_group = np.zeros(3, int)
    >>> mrr(np.array([0, 1, 0]), np.array([0.9, 0.5, 0.1]), one_group, 1)
    0.5
    >>> mrr(np.array([0, 1]), np.array([0.5, 0.5]), one_group[:2], 1)
    0.75

  Args:
    labels: [R], positive above 1/2.
    scores: [R].
    codes: i64[R], the row's group, in any order.

  Returns:
    MRR in (0, 1]; NaN where no group has a positive, or a score is NaN.
  """
  types.check_same_shape(labels, scores, codes)
  if np.isnan(scores).any():
    return float('nan')
  has_positive = np.bincount(codes[labels > 0.5], minlength=groups) > 0
  kept = np.flatnonzero(has_positive[codes])
  if not len(kept):
    return float('nan')
  codes, scores = codes[kept], scores[kept]
  order = np.lexsort((-scores, codes))
  codes = codes[order]
  group_start, tie, sizes = _ties(codes, scores[order])
  positives = np.add.reduceat((labels[kept][order] > 0.5).astype(int), tie)
  # Of each group the first tie with a positive.
  hit = np.flatnonzero(positives)
  hit = hit[np.unique(codes[tie[hit]], return_index=True)[1]]
  before = (
    tie[hit] - group_start[np.searchsorted(group_start, tie[hit], 'right') - 1]
  )
  return float(np.mean(_first_positive(before, sizes[hit], positives[hit])))


def _first_positive(
  before: np.ndarray, size: np.ndarray, positives: np.ndarray
) -> np.ndarray:
  """The mean of 1 / rank of the first positive of a tie, over its orders.

  Args:
    before: i64[G], rows of the group ahead of the tie.
    size: i64[G], rows of the tie.
    positives: i64[G] >= 1, those of them that are positive.
  """
  mean = np.zeros(len(before))
  none_yet = np.ones(len(before))
  for j in range(int(np.max(size - positives)) + 1):
    left = np.maximum(size - j, 1)
    is_first = np.minimum(positives / left, 1.0)
    mean += none_yet * is_first / (before + j + 1)
    none_yet *= 1.0 - is_first
  return mean


def _discounts(codes: np.ndarray, top: int) -> np.ndarray:
  """1 / log2(rank + 1) of rows in the order of their groups, 0 after `top`."""
  start = groups_lib.run_starts(codes[1:] != codes[:-1])
  sizes = np.diff(np.append(start, len(codes)))
  rank = np.arange(len(codes)) - start.repeat(sizes)
  return np.where(rank < top, 1.0 / np.log2(rank + 2.0), 0.0)


def _ties(
  codes: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """First rows of groups and of ties, and sizes of ties; rows are sorted."""
  new_group = codes[1:] != codes[:-1]
  tie = groups_lib.run_starts(new_group | (scores[1:] != scores[:-1]))
  return (
    groups_lib.run_starts(new_group),
    tie,
    np.diff(np.append(tie, len(codes))),
  )

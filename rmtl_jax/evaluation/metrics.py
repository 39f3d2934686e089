"""Exact metrics of one task's predictions (method.md's list of metrics).

Nothing is binned where an exact form exists, ties count as ties, and an
undefined metric (AUC of one class, say) is NaN, never an exception. A row of
weight 2 is the row twice, one of weight 0 is not there; without weights (None)
rows count alike. `registry` has a record of each. Labels are 0 or 1 unless said
otherwise; `R` is the number of rows, all arrays are [R] unless said otherwise.
"""

from __future__ import annotations

import numpy as np

from rmtl_jax import types

# Distance of clipped probabilities from 0 and 1: a single confident mistake
# then costs 16.1 nats instead of infinity.
PROBABILITY_MARGIN = 1e-7


def mean_labels(
  labels: np.ndarray, weights: np.ndarray | None = None
) -> np.ndarray:
  """Each task's mean label, f64[K], of labels and weights [R, K].

  It is 0 where no row has a weight.
  """
  if weights is None:
    return labels.mean(axis=0, dtype=np.float64)
  total = np.sum(weights, axis=0, dtype=np.float64)
  sums = np.sum(labels * weights, axis=0, dtype=np.float64)
  return sums / np.where(total > 0.0, total, 1.0)


def counted(
  labels: np.ndarray, predictions: np.ndarray, weights: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
  """The rows of weight > 0: labels, predictions and weights, f64."""
  types.check_ranks((1, 1), labels, predictions)
  types.check_same_shape(labels, predictions)
  if weights is None:
    return labels, predictions, None
  seen = weights > 0.0
  own = np.asarray(weights[seen], np.float64)
  return labels[seen], predictions[seen], own


def auc(
  labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> float:
  """P(score of a positive > score of a negative), ties counted as a half.

  Equal to the trapezoidal area under the ROC curve and to the Mann-Whitney
  statistic with mid-ranks divided by the number of pairs.

  Examples:
    >>> auc(np.array([0, 0, 1, 1]), np.array([0.1, 0.4, 0.35, 0.8]))
    0.75

  Args:
    scores: [R], any increasing function of the probability.

  Returns:
    AUC in [0, 1]; NaN with one class only, or where a score is NaN.
  """
  types.check_ranks((1, 1), labels, scores)
  types.check_same_shape(labels, scores)
  if np.isnan(scores).any():
    return float('nan')
  if weights is not None:
    return _weighted_auc(labels, scores, weights)
  # Without weights only the values count: sorting them is many times faster
  # than sorting positions, and early stopping calls this often.
  positive = np.sort(scores[labels > 0.5])
  negative = np.sort(scores[labels <= 0.5])
  pairs = len(positive) * len(negative)
  if not pairs:
    return float('nan')
  # A tie is half a pair: the mean of "below" and "not above" counts it so.
  below = np.searchsorted(negative, positive, 'left')
  not_above = np.searchsorted(negative, positive, 'right')
  return int(below.sum() + not_above.sum()) / (2 * pairs)


def _weighted_auc(
  labels: np.ndarray, scores: np.ndarray, weights: np.ndarray
) -> float:
  """The weight of the pairs in the right order, by that of all pairs."""
  types.check_same_shape(labels, weights)
  is_positive, weights = labels > 0.5, np.asarray(weights, np.float64)
  order = np.argsort(scores[~is_positive])
  negative = scores[~is_positive][order]
  reached = np.append(0.0, np.cumsum(weights[~is_positive][order]))
  own = weights[is_positive]
  pairs = 2.0 * own.sum() * reached[-1]
  if not pairs:
    return float('nan')
  below, not_above = (
    reached[np.searchsorted(negative, scores[is_positive], side)]
    for side in ('left', 'right')
  )
  return float(own @ (below + not_above) / pairs)


def pr_auc(
  labels: np.ndarray, scores: np.ndarray, weights: np.ndarray | None = None
) -> float:
  """Average precision, the mean of the precision at every positive's score.

  It is the area under the precision-recall steps without interpolation. Rows of
  equal score enter together, so their order doesn't matter.

  Returns:
    Average precision in (0, 1]; NaN without positives, or where a score is
    NaN.
  """
  types.check_ranks((1, 1), labels, scores)
  types.check_same_shape(labels, scores)
  weights = np.ones(len(labels)) if weights is None else weights
  order = np.argsort(scores, kind='stable')
  scores, weights = scores[order], np.asarray(weights, np.float64)[order]
  hits = np.where(labels[order] > 0.5, weights, 0.0)
  if not hits.any() or np.isnan(scores).any():
    return float('nan')
  # Weight of the rows with at least a row's score, ties included.
  first = np.searchsorted(scores, scores, 'left')
  above, hits_above = (np.cumsum(x[::-1])[::-1][first] for x in (weights, hits))
  counted = hits > 0.0
  precision = hits_above[counted] / above[counted]
  return float(np.average(precision, weights=hits[counted]))


def row_logloss(labels: np.ndarray, probabilities: np.ndarray) -> np.ndarray:
  """Binary cross-entropy of every row, in nats.

  Args:
    labels: [...], 0 or 1.
    probabilities: [...], clipped to [1e-7, 1 - 1e-7].

  Returns:
    f64[...] >= 0.
  """
  types.check_same_shape(labels, probabilities)
  p = np.clip(
    np.asarray(probabilities, np.float64),
    PROBABILITY_MARGIN,
    1.0 - PROBABILITY_MARGIN,
  )
  return -(labels * np.log(p) + (1.0 - labels) * np.log1p(-p))


def logloss(
  labels: np.ndarray,
  probabilities: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Mean binary cross-entropy over rows, in nats.

  Examples:
    >>> round(logloss(np.array([1, 0]), np.array([0.5, 0.2])), 4)
    0.4581

  Args:
    probabilities: [R], clipped to [1e-7, 1 - 1e-7].

  Returns:
    The mean; NaN without rows.
  """
  types.check_ranks((1, 1), labels, probabilities)
  if not _has_rows(labels, weights):
    return float('nan')
  losses = row_logloss(labels, probabilities)
  return float(np.average(losses, weights=weights))


def _has_rows(labels: np.ndarray, weights: np.ndarray | None) -> bool:
  return bool(len(labels)) and (weights is None or bool(np.any(weights > 0)))


def session_logloss(
  labels: np.ndarray,
  probabilities: np.ndarray,
  session: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """s-logloss: mean over sessions of the session's mean row cross-entropy.

  Examples:
    >>> labels, probabilities = np.array([1, 0, 0]), np.array([0.5, 0.2, 0.2])
    >>> round(session_logloss(labels, probabilities, np.array([7, 8, 8])), 4)
    0.4581

  Args:
    probabilities: [R], clipped to [1e-7, 1 - 1e-7].
    session: i64[R], the row's session, in any order.
    weights: [R] >= 0, or None; those of a session make its mean, and sessions
      of any weight count alike.

  Returns:
    The mean, in nats; NaN without rows.
  """
  types.check_ranks((1, 1, 1), labels, probabilities, session)
  types.check_same_shape(labels, session)
  if not _has_rows(labels, weights):
    return float('nan')
  codes, _ = group_codes(session)
  losses = row_logloss(labels, probabilities)
  weighted = losses if weights is None else losses * weights
  sums, sizes = np.bincount(codes, weighted), np.bincount(codes, weights)
  return float(np.mean(sums[sizes > 0] / sizes[sizes > 0]))


def gauc(
  labels: np.ndarray,
  scores: np.ndarray,
  group: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """AUC within each group, averaged with the groups' numbers of rows.

  Examples:
    >>> labels, scores = np.array([0, 1, 1, 0]), np.array([0.1, 0.2, 0.8, 0.9])
    >>> gauc(labels, scores, np.array([1, 1, 2, 2]))
    0.5

  Zhu et al., "Optimized Cost per Click in Taobao Display Advertising" (KDD
  2017), with impressions as weights. Groups of one class have no AUC and
  are left out.

  Args:
    group: i64[R], the row's list, in any order.

  Returns:
    GAUC in [0, 1]; NaN where no group has both labels, or a score is NaN.
  """
  if np.isnan(scores).any():
    return float('nan')
  aucs, sizes = group_aucs(labels, scores, group, weights)
  return float(np.average(aucs, weights=sizes)) if sizes.any() else float('nan')


def group_aucs(
  labels: np.ndarray,
  scores: np.ndarray,
  group: np.ndarray,
  weights: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
  """The AUC within each group, and its rows, by ascending group.

  Args:
    scores: [R], no NaN.
    group: i64[R], in any order.

  Returns:
    f64[G] and f64[G], both 0 for groups of one class, which have no AUC.
  """
  types.check_ranks((1, 1, 1), labels, scores, group)
  types.check_same_shape(labels, scores, group)
  if weights is None:
    weights = np.ones(len(labels))
  codes, groups = group_codes(group)
  is_positive = labels > 0.5
  sizes = np.bincount(codes, weights, minlength=groups)
  positives = np.bincount(
    codes[is_positive], weights[is_positive], minlength=groups
  )
  pairs = positives * (sizes - positives)
  if not pairs.any():
    return np.zeros(groups), np.zeros(groups)
  # Groups of one class have no pairs. In logs they are most groups, so leaving
  # them out before the sort saves most of its time.
  kept = np.flatnonzero(pairs[codes])
  order = kept[np.lexsort((scores[kept], codes[kept]))]
  is_positive, weights = is_positive[order], weights[order]
  ordered = ordered_pairs(
    scores[order], codes[order], np.where(is_positive, 0, weights), is_positive
  )
  sums = np.bincount(
    codes[order][is_positive],
    ordered * weights[is_positive],
    minlength=groups,
  )
  has_pairs = pairs > 0
  aucs = sums / np.where(has_pairs, pairs, 1.0)
  return aucs, np.where(has_pairs, sizes, 0.0)


def ordered_pairs(
  scores: np.ndarray,
  codes: np.ndarray,
  negative: np.ndarray,
  is_positive: np.ndarray,
) -> np.ndarray:
  """Counts for each positive the negatives below it in its group, ties half.

  Args:
    scores: [R], ascending within a group.
    codes: i64[R], ascending.
    negative: [R], the weights of negatives, 0 of positives.
    is_positive: bool[R].

  Returns:
    f64[P], in the order of the positive rows.
  """
  # negatives[i] counts those before row i, over all groups: differences of it
  # count within a group or a run of ties, without a loop over groups.
  negatives = np.concatenate([[0], np.cumsum(negative)])
  new_group = codes[1:] != codes[:-1]
  group_start = run_starts(new_group)
  tie_start = run_starts(new_group | (scores[1:] != scores[:-1]))
  places = np.flatnonzero(is_positive)
  group = np.searchsorted(group_start, places, 'right') - 1
  tie = np.searchsorted(tie_start, places, 'right') - 1
  tie_end = np.append(tie_start[1:], len(scores))
  # Negatives before the tie count 1, those in it 1/2: half of the sum of the
  # counts at its two ends, less the negatives of earlier groups.
  twice = negatives[tie_start[tie]] + negatives[tie_end[tie]]
  return 0.5 * twice - negatives[group_start[group]]


def calibration_error(
  labels: np.ndarray,
  probabilities: np.ndarray,
  bins: int = 20,
  weights: np.ndarray | None = None,
) -> float:
  """Expected calibration error over bins of (nearly) equal numbers of rows.

  sum over bins of rows_b / R * |mean probability_b - mean label_b|. Rows are
  binned by the mid-rank of their probability, so equal probabilities always
  share a bin, and neither the rows' order nor the sort decides the figure;
  many ties make bins uneven, and some may then be empty.

  Args:
    bins: number of bins, >= 1.

  Returns:
    The error in [0, 1]; NaN without rows, or where a probability is NaN.
  """
  types.check_ranks((1, 1), labels, probabilities)
  types.check_same_shape(labels, probabilities)
  if not _has_rows(labels, weights) or np.isnan(probabilities).any():
    return float('nan')
  points = reliability(labels, probabilities, bins, weights)
  rows, predicted, actual = np.array([list(of.values()) for of in points]).T
  return float(np.average(np.abs(predicted - actual), weights=rows))


def reliability(
  labels: np.ndarray,
  predictions: np.ndarray,
  bins: int = 20,
  weights: np.ndarray | None = None,
) -> list[dict[str, float]]:
  """The bins of `calibration_error`, ascending, those without rows left out.

  Args:
    predictions: [R], no NaN.

  Returns:
    `rows` (their number, or the sum of their weights), `predicted` (their mean
    prediction), `actual` (their mean label).
  """
  y, p, weights = counted(labels, predictions, weights)
  if not len(y):
    return []
  order = np.argsort(p, kind='stable')
  y, p = y[order].astype(np.float64), p[order].astype(np.float64)
  w = np.ones(len(y)) if weights is None else weights[order]
  row_bin = equal_mass_bins(p, bins, w)
  sums = (np.bincount(row_bin, of).tolist() for of in (w, w * p, w * y))
  return [
    {'rows': n, 'predicted': predicted / n, 'actual': actual / n}
    for n, predicted, actual in zip(*sums, strict=True)
    if n
  ]


def predicted_over_actual(
  labels: np.ndarray,
  probabilities: np.ndarray,
  weights: np.ndarray | None = None,
) -> float:
  """Sum of probabilities / number of positives; 1 if calibrated overall.

  Returns:
    The ratio; NaN without positives.
  """
  types.check_ranks((1, 1), labels, probabilities)
  types.check_same_shape(labels, probabilities)
  if weights is not None:
    labels, probabilities = labels * weights, probabilities * weights
  positives = float(np.sum(labels, dtype=np.float64))
  if not positives:
    return float('nan')
  return float(np.sum(probabilities, dtype=np.float64)) / positives


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
  tie, sizes = _ties(codes[order], scores[order])
  shared = (np.add.reduceat(discounts, tie) / sizes).repeat(sizes)
  found = np.bincount(codes[order], gains[order] * shared, minlength=groups)
  best_order = np.lexsort((-gains, codes))
  best = np.bincount(
    codes[best_order], gains[best_order] * discounts, minlength=groups
  )
  return float(np.mean(found[has_gain] / best[has_gain]))


def _discounts(codes: np.ndarray, top: int) -> np.ndarray:
  """1 / log2(rank + 1) of rows in the order of their groups, 0 after `top`."""
  start = run_starts(codes[1:] != codes[:-1])
  sizes = np.diff(np.append(start, len(codes)))
  rank = np.arange(len(codes)) - start.repeat(sizes)
  return np.where(rank < top, 1.0 / np.log2(rank + 2.0), 0.0)


def _ties(
  codes: np.ndarray, scores: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  """First rows of ties, and their sizes; rows are sorted."""
  tie = run_starts((codes[1:] != codes[:-1]) | (scores[1:] != scores[:-1]))
  return tie, np.diff(np.append(tie, len(codes)))


def group_codes(ids: np.ndarray) -> tuple[np.ndarray, int]:
  """Numbers groups from 0, by ascending id.

  Args:
    ids: i64[R], in any order; sorted ids (prepared sessions) cost no sort.

  Returns:
    (i64[R], number of groups).
  """
  types.check_ranks((1,), ids)
  if not len(ids):
    return np.zeros(0, np.int64), 0
  steps = ids[1:] != ids[:-1]
  if np.any(ids[1:] < ids[:-1]):
    unique, codes = np.unique(ids, return_inverse=True)
    return codes, len(unique)
  codes = np.concatenate([[0], np.cumsum(steps)])
  return codes, int(codes[-1]) + 1


def equal_mass_bins(
  ascending: np.ndarray, bins: int, weights: np.ndarray
) -> np.ndarray:
  """Assigns every row a bin by the mid-rank of its value; ties share one.

  Args:
    ascending: [R], sorted, R >= 1.
    bins: number of bins, >= 1.
    weights: [R] > 0 in this order.

  Returns:
    i64[R] in [0, bins), ascending.
  """
  start = run_starts(ascending[1:] != ascending[:-1])
  end = np.append(start[1:], len(ascending))
  reached = np.concatenate([[0.0], np.cumsum(weights, dtype=np.float64)])
  middle = (reached[start] + reached[end]) * bins // (2.0 * reached[-1])
  return np.repeat(middle.astype(np.int64), end - start)


def run_starts(changes: np.ndarray) -> np.ndarray:
  """First position of every run, from bool[R - 1], true where values change."""
  return np.concatenate([[0], np.flatnonzero(changes) + 1])

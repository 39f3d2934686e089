"""The encoders of the session so far again, in numpy, one row at a time.

Each takes its parameters as a nested dict, the items of the rows of earlier
times (a list of lists, one for each time, in order) and the row's own item, all
of them f64[D].
"""

from __future__ import annotations

import numpy as np

from tests.networks import reference


def history(items, segment, time, t):
  """The items of the times before t in its session, oldest first."""
  if segment[t] < 0:
    return []
  mine = [s for s in range(len(items)) if segment[s] == segment[t]]
  times = sorted({int(time[s]) for s in mine if time[s] < time[t]})
  return [[items[s] for s in mine if time[s] == at] for at in times]


def mean(params, times, own):
  del params, own
  return np.mean(np.concatenate(times), axis=0)


def target_attention(params, times, own):
  before = [item for items in times for item in items]
  for_own, for_item, for_product = params['kernel']
  scores = []
  for item in before:
    hidden = reference.relu(
      params['bias']
      + own @ for_own
      + item @ for_item
      + (own * item) @ for_product
    )
    scores.append(hidden @ params['score'][:, 0])
  return reference.mixture(reference.softmax(scores), before)


ENCODERS = {
  'mean': mean,
  'target_attention': target_attention,
}


def encode(name, params, items, segment, time):
  """What a row knows of the rows of earlier times, f64[T, D]."""
  params, items = reference.double(params), np.asarray(items, np.float64)
  encoded = np.zeros_like(items)
  for t in range(len(items)):
    before = history(items, segment, time, t)
    if before:
      encoded[t] = ENCODERS[name](params, before, items[t])
  return encoded

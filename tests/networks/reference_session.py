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


def gru(params, times, own):
  del own
  state = np.zeros_like(times[0][0])
  for items in times:
    state = np.mean([gru_state(params, item, state) for item in items], axis=0)
  return state


def gru_state(params, item, state):
  dim = len(state)
  x = reference.dense(item, params['item']['kernel'], params['item']['bias'])
  h = reference.dense(state, params['state']['kernel'], params['state']['bias'])
  update = reference.sigmoid(x[:dim] + h[:dim])
  reset = reference.sigmoid(x[dim : 2 * dim] + h[dim : 2 * dim])
  candidate = np.tanh(x[2 * dim :] + reset * h[2 * dim :])
  return update * state + (1 - update) * candidate


def layer_norm(params, x):
  centred = x - x.mean()
  scale = params['scale'] / np.sqrt((centred**2).mean() + 1e-6)
  return centred * scale + params['bias']


def transformer(params, times, own):
  del own
  last = len(params['positions']) - 1
  x, seen = [], []
  for items in times:
    before = list(range(len(x)))
    position = params['positions'][min(len(before), last)]
    seen += [[*before, len(x) + i] for i in range(len(items))]
    x += [item + position for item in items]
  for name in sorted(n for n in params if n.startswith('block_')):
    x = block(params[name], x, seen)
  said = [layer_norm(params['norm'], row) for row in x[-len(times[-1]) :]]
  return np.mean(said, axis=0)


def block(params, x, seen):
  dim = len(x[0])
  parts = [
    layer_norm(params['norm_attention'], row) @ params['projections']
    for row in x
  ]
  new = []
  for i, row in enumerate(x):
    scores = [
      parts[i][:dim] @ parts[j][dim : 2 * dim] / np.sqrt(dim) for j in seen[i]
    ]
    values = [parts[j][2 * dim :] for j in seen[i]]
    row = row + reference.mixture(reference.softmax(scores), values)
    hidden = layer_norm(params['norm_hidden'], row)
    for name in ('hidden', 'output'):
      hidden = reference.dense(
        hidden, params[name]['kernel'], params[name]['bias']
      )
      if name == 'hidden':
        hidden = reference.relu(hidden)
    new.append(row + hidden)
  return new


ENCODERS = {
  'mean': mean,
  'target_attention': target_attention,
  'gru': gru,
  'transformer': transformer,
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

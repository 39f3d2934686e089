"""The encoders of the session so far again, in numpy, one row at a time.

Each takes its parameters as a nested dict, the items of the rows before (in
order) and the row's own item, all of them f64[D].
"""

from __future__ import annotations

import numpy as np

from tests.networks import reference


def history(items, segment, t):
  """The items of the rows before t in its session, oldest first."""
  if segment[t] < 0:
    return []
  return [items[s] for s in range(t) if segment[s] == segment[t]]


def mean(params, before, own):
  del params, own
  return sum(before) / len(before)


def target_attention(params, before, own):
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


def gru(params, before, own):
  del own
  state = np.zeros_like(before[0])
  dim = len(state)
  for item in before:
    x = reference.dense(item, params['item']['kernel'], params['item']['bias'])
    h = reference.dense(
      state, params['state']['kernel'], params['state']['bias']
    )
    update = reference.sigmoid(x[:dim] + h[:dim])
    reset = reference.sigmoid(x[dim : 2 * dim] + h[dim : 2 * dim])
    candidate = np.tanh(x[2 * dim :] + reset * h[2 * dim :])
    state = update * state + (1 - update) * candidate
  return state


def layer_norm(params, x):
  centred = x - x.mean()
  scale = params['scale'] / np.sqrt((centred**2).mean() + 1e-6)
  return centred * scale + params['bias']


def transformer(params, before, own):
  del own
  last = len(params['positions']) - 1
  x = [
    item + params['positions'][min(i, last)] for i, item in enumerate(before)
  ]
  for name in sorted(n for n in params if n.startswith('block_')):
    x = block(params[name], x)
  return layer_norm(params['norm'], x[-1])


def block(params, x):
  dim = len(x[0])
  parts = [
    layer_norm(params['norm_attention'], row) @ params['projections']
    for row in x
  ]
  new = []
  for i, row in enumerate(x):
    scores = [
      parts[i][:dim] @ parts[j][dim : 2 * dim] / np.sqrt(dim)
      for j in range(i + 1)
    ]
    values = [parts[j][2 * dim :] for j in range(i + 1)]
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


def encode(name, params, items, segment):
  """What a row knows of the rows before it, f64[T, D]."""
  params, items = reference.double(params), np.asarray(items, np.float64)
  encoded = np.zeros_like(items)
  for t in range(len(items)):
    before = history(items, segment, t)
    if before:
      encoded[t] = ENCODERS[name](params, before, items[t])
  return encoded

"""The networks again, in numpy and float64, one row and one unit at a time.

Written from the papers' equations, not from the package: nothing here is
stacked, shared, split or vmapped. It reads the package's parameters as a
nested dict and knows only where each kernel lies.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types


def softmax(z):
  e = [np.exp(v - max(z)) for v in z]
  return [v / sum(e) for v in e]


def sigmoid(z):
  return 1 / (1 + np.exp(-z))


def relu(x):
  return np.array([max(v, 0.0) for v in x])


def dense(x, kernel, bias):
  """x W + b of one row."""
  y = np.array(bias, np.float64)
  for i in range(len(x)):
    y = y + x[i] * kernel[i]
  return y


def member(params, e):
  """Kernel and bias of one member of a stack."""
  return params['kernel'][e], params['bias'][e]


def mixture(gate, outputs):
  total = np.zeros_like(outputs[0])
  for weight, output in zip(gate, outputs, strict=True):
    total = total + weight * output
  return total


def features(spec: types.FeatureSpec, config, first, row: types.Inputs):
  """The concatenated blocks of one row."""
  table, blocks, start = first['table'], [], 0
  for size, value in zip(spec.categorical, row.categorical, strict=True):
    blocks.append(table[start + value])
    start += size
  slot = 0
  for field, (size, slots) in enumerate(spec.multi_valued):
    values = row.multi_valued[slot : slot + slots]
    slot += slots
    if spec.vocabulary_owners and spec.vocabulary_owners[field] is not None:
      owner = sum(spec.categorical[: spec.vocabulary_owners[field]])
      items = [table[owner + v] for v in values if v > 0]
      blocks.append(sum(items) / len(items) if items else 0 * table[0])
      continue
    used = [v for v in values if v >= 0]
    blocks.append(sum(table[start + v] for v in used) / len(used))
    start += size
  if config.numeric_encoding == 'piecewise':
    blocks += piecewise(spec, first['numeric'], row.numeric)
  elif spec.numeric:
    numeric = first['numeric']
    blocks.append(dense(row.numeric, numeric['kernel'], numeric['bias']))
  for field in spec.pretrained:
    given = first[f'pretrained_{field.name}']
    vectors = given['vectors' if field.trained else 'frozen']
    blocks.append(vectors[row.categorical[field.place]] @ given['kernel'])
  # Without a categorical field the table has one row that nothing reads.
  assert max(start, 1) == len(table)
  return np.concatenate(blocks)


def piecewise(spec, numeric, values):
  """A block of every numeric field: a slope per bin between quantiles."""
  blocks = []
  for n, edges in enumerate(spec.quantiles):
    slopes, block = numeric['slopes'][n], numeric['offset'][n]
    for i in range(max(1, len(edges) - 1)):
      part = values[n]
      if edges:
        part = (part - edges[i]) / (edges[i + 1] - edges[i])
        part = max(part, -1.0 if i == 0 else 0.0)
        part = min(part, 2.0 if i == len(edges) - 2 else 1.0)
      block = block + part * slopes[i]
    blocks.append(block)
  return blocks


class Columns:
  """Reads the first layer from left to right."""

  def __init__(self, first):
    kernel = first['kernel']
    self.kernel = kernel.reshape(-1, kernel.shape[-1])
    self.bias = first['bias']
    self.at = 0

  def take(self, x, units):
    columns = slice(self.at, self.at + units)
    self.at += units
    return dense(x, self.kernel[:, columns], self.bias[columns])


def perceptron(x, hidden, e, units):
  """The layers after the first one's linear part, of member e."""
  x = relu(x)
  for i in range(1, len(units)):
    x = relu(dense(x, *member(hidden[f'linear_{i}'], e)))
  return x


def tower(x, towers, k, units):
  x = dense(x, *member(towers['linear_0'], k))
  x = perceptron(x, towers.get('hidden'), k, units)
  return dense(x, *member(towers['heads']['linear'], k))[0]


def shared_bottom(spec, config, params, x):
  units = config.bottom_units
  bottom = Columns(params['first']).take(x, units[0])
  bottom = perceptron(bottom, params.get('bottom'), 0, units)
  return [
    tower(bottom, params['towers'], k, config.tower_units)
    for k in range(spec.num_tasks)
  ]


def mixture_of_experts(spec, config, params, x, gates):
  units, columns = config.bottom_units, Columns(params['first'])
  outputs = [columns.take(x, units[0]) for _ in range(config.num_experts)]
  outputs = [
    perceptron(h, params.get('experts'), e, units)
    for e, h in enumerate(outputs)
  ]
  mixed = [
    mixture(softmax(columns.take(x, config.num_experts)), outputs)
    for _ in range(gates)
  ]
  return [
    tower(mixed[min(k, gates - 1)], params['towers'], k, config.tower_units)
    for k in range(spec.num_tasks)
  ]


def ple(spec, config, params, x):
  tasks, units = spec.num_tasks, config.bottom_units
  shared_count = config.num_experts // 2
  own_count = config.num_experts - shared_count
  columns = Columns(params['first'])
  own = [
    [relu(columns.take(x, units[0])) for _ in range(own_count)]
    for _ in range(tasks)
  ]
  shared = [relu(columns.take(x, units[0])) for _ in range(shared_count)]
  paths = []
  for k in range(tasks):
    gate = softmax(columns.take(x, own_count + shared_count))
    paths.append(mixture(gate, own[k] + shared))
  if len(units) > 1:
    everything = [h for of_task in own for h in of_task] + shared
    gate = softmax(columns.take(x, len(everything)))
    shared_path = mixture(gate, everything)
  for i in range(1, len(units)):
    level = params[f'level_{i}']

    def run(name, count, x, level=level):
      return [relu(dense(x, *member(level[name], e))) for e in range(count)]

    def gate(name, x, level=level):
      return softmax(dense(x, level[name]['kernel'], level[name]['bias']))

    own = [run(f'experts_{k}', own_count, paths[k]) for k in range(tasks)]
    shared = run('experts_shared', shared_count, shared_path)
    gates = [gate(f'gate_{k}', paths[k]) for k in range(tasks)]
    for k in range(tasks):
      seen = shared
      if config.official:
        seen = run('experts_shared', shared_count, paths[k])
      paths[k] = mixture(gates[k], own[k] + seen)
    if i < len(units) - 1:
      everything = [h for of_task in own for h in of_task] + shared
      shared_path = mixture(gate('gate_shared', shared_path), everything)
  return [
    tower(paths[k], params['towers'], k, config.tower_units)
    for k in range(tasks)
  ]


def aitm(spec, config, params, x):
  units, columns = config.bottom_units, Columns(params['first'])
  own = [columns.take(x, units[0]) for _ in range(spec.num_tasks)]
  own = [
    perceptron(h, params.get('bottoms'), k, units) for k, h in enumerate(own)
  ]
  z = [own[0]]
  for k in range(1, spec.num_tasks):
    p = params[f'transfer_{k}']

    def linear(name, x, p=p):
      return dense(x, p[name]['kernel'], p[name]['bias'])

    sent = linear('info', z[k - 1])
    sent = sent if config.official else relu(sent)
    scores, values = [], []
    for source in (own[k], sent):
      product = linear('key', source) * linear('query', source)
      scores.append(product.sum() / np.sqrt(units[-1]))
      values.append(linear('value', source))
    z.append(mixture(softmax(scores), values))
  return [
    tower(z[k], params['towers'], k, config.tower_units)
    for k in range(spec.num_tasks)
  ]


def esmm(spec, config, params, x):
  units = (*config.bottom_units, *config.tower_units)
  columns = Columns(params['first'])
  logits, p = [], 1.0
  for k in range(spec.num_tasks):
    h = perceptron(columns.take(x, units[0]), params['hidden'], k, units)
    p *= sigmoid(dense(h, *member(params['heads']['linear'], k))[0])
    logits.append(np.log(p / (1 - p)))
  return logits


def dbmtl(spec, config, params, x):
  units = config.tower_units
  bottom = Columns(params['first']).take(x, config.bottom_units[0])
  bottom = perceptron(bottom, params.get('bottom'), 0, config.bottom_units)
  logits, known = [], []
  for k in range(spec.num_tasks):
    own = dense(bottom, *member(params['linear_0'], k))
    own = perceptron(own, params.get('hidden'), k, units)
    relation = params[f'relation_{k}']
    z = np.concatenate([own, *known])
    known.append(relu(dense(z, relation['kernel'], relation['bias'])))
    logits.append(dense(known[k], *member(params['heads']['linear'], k))[0])
  return logits


def cross_stitch(spec, config, params, x):
  tasks, units = range(spec.num_tasks), config.bottom_units
  columns = Columns(params['first'])
  own = [columns.take(x, units[0]) for _ in tasks]
  for i in range(len(units)):
    if i > 0:
      layer = params[f'linear_{i}']
      own = [dense(own[k], *member(layer, k)) for k in tasks]
    own = [relu(h) for h in own]
    own = [mixture(params[f'stitch_{i}'][k], own) for k in tasks]
  return [tower(own[k], params['towers'], k, config.tower_units) for k in tasks]


def adatt(spec, config, params, x):
  tasks, units = range(spec.num_tasks), config.bottom_units
  each = max(1, config.num_experts // spec.num_tasks)
  count, columns = each * spec.num_tasks, Columns(params['first'])
  outputs = [columns.take(x, units[0]) for _ in range(count)]
  gates, paths = [columns.take(x, count) for _ in tasks], []
  for i in range(len(units)):
    if i > 0:
      layer, gate = params[f'experts_{i}'], params[f'gates_{i}']
      outputs = [
        dense(paths[e // each], *member(layer, e)) for e in range(count)
      ]
      gates = [dense(paths[k], *member(gate, k)) for k in tasks]
    outputs = [relu(h) for h in outputs]
    native = params[f'native_{i}']
    paths = [
      mixture(softmax(gates[k]), outputs)
      + mixture(native[k], outputs[k * each : (k + 1) * each])
      for k in tasks
    ]
  return [
    tower(paths[k], params['towers'], k, config.tower_units) for k in tasks
  ]


def critic(spec, config, head, params, x, actions):
  """Q of one row; x are its features."""
  units, first = config.bottom_units, params['first']
  kernel = first['kernel'].reshape(-1, units[0])
  kernel = np.concatenate([kernel, params['action_kernel']])
  values = []
  for k in range(spec.num_tasks):
    embedded = dense(
      [actions[k]], params['action']['kernel'], params['action']['bias']
    )
    h = dense(np.concatenate([x, embedded]), kernel, first['bias'])
    h = perceptron(h, params.get('bottom'), 0, units)
    z = tower(h, params['towers'], k, config.tower_units)
    if head == 'neg_softplus':
      z = -np.log(1 + np.exp(z))
    elif head == 'neg_relu':
      z = -max(z, 0.0)
    values.append(z)
  return values


def at(tree, k):
  """Task k's part of parameters with a leading task axis."""
  if isinstance(tree, dict):
    return {name: at(value, k) for name, value in tree.items()}
  return tree[k]


def double(tree):
  if isinstance(tree, dict):
    return {name: double(value) for name, value in tree.items()}
  return np.asarray(tree, np.float64)


BACKBONES = {
  'shared_bottom': shared_bottom,
  'omoe': lambda *args: mixture_of_experts(*args, gates=1),
  'mmoe': lambda *args: mixture_of_experts(*args, gates=args[0].num_tasks),
  'ple': ple,
  'aitm': aitm,
  'esmm': esmm,
  'dbmtl': dbmtl,
  'cross_stitch': cross_stitch,
  'adatt': adatt,
}


def actor_row(spec, backbone, config, params, row):
  """Logits of one row, no dropout."""
  if backbone == 'single_task':
    one = dataclasses.replace(spec, num_tasks=1)
    return [
      actor_row(one, 'shared_bottom', config, at(params, k), row)[0]
      for k in range(spec.num_tasks)
    ]
  assert backbone in BACKBONES, f'{backbone}: write it in numpy here'
  x = features(spec, config, params['first'], row)
  return BACKBONES[backbone](spec, config, params, x)


def critic_row(spec, config, critic_config, params, row, actions):
  """Q of one row, no dropout."""
  if critic_config.form == 'shared':
    x = features(spec, config, params['first'], row)
    return critic(spec, config, critic_config.head, params, x, actions)
  one = dataclasses.replace(spec, num_tasks=1)
  values = []
  for k in range(spec.num_tasks):
    own = at(params, k)
    x = features(one, config, own['first'], row)
    head = critic_config.head
    values += critic(one, config, head, own, x, actions[k : k + 1])
  return values


def _rows(inputs: types.Inputs):
  """Every position [l, t] of a batch with its row."""
  for position in np.ndindex(*inputs.categorical.shape[:2]):
    yield position, types.Inputs(*(part[position] for part in inputs[:3]))


def actor_logits(
  spec: types.FeatureSpec,
  backbone: str,
  config: config_lib.NetworkConfig,
  params: dict[str, Any],
  inputs: types.Inputs,
) -> np.ndarray:
  """Logits without dropout, f64[L, T, K]."""
  params = double(params)
  logits = np.empty((*inputs.categorical.shape[:2], spec.num_tasks))
  for position, row in _rows(inputs):
    logits[position] = actor_row(spec, backbone, config, params, row)
  return logits


def critic_values(
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
  critic_config: config_lib.CriticConfig,
  params: dict[str, Any],
  inputs: types.Inputs,
  actions: np.ndarray,
) -> np.ndarray:
  """Q without dropout, f64[L, T, K]."""
  params = double(params)
  values = np.empty(actions.shape)
  for position, row in _rows(inputs):
    values[position] = critic_row(
      spec, config, critic_config, params, row, actions[position]
    )
  return values

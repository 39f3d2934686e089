"""Live rows and a reference that tests make themselves, without files."""

from __future__ import annotations

import pathlib

import numpy as np

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.results import reference
from rmtl_jax.serving.monitoring import model, scored

ITEMS, DECILES = 51, 10
_SHARE = 1.0 / np.arange(1, ITEMS + 2)
_SHARE /= _SHARE.sum()
MANIFEST = manifest_lib.Manifest(
  source='tiny',
  fields=(
    manifest_lib.Field('item', 'categorical', size=500),
    manifest_lib.Field('shop', 'categorical', size=500),
    manifest_lib.Field('price', 'numeric'),
  ),
  tasks=(
    manifest_lib.Task('click'),
    manifest_lib.Task('buy', 'click'),
  ),
  splits={},
)


def users(rng, rows: int, clustered: bool) -> np.ndarray | None:
  """Codes of about four rows each."""
  if not clustered:
    return None
  return np.unique(
    rng.integers(0, max(rows // 4, 1), rows), return_inverse=True
  )[1]


def log(rng, rows: int, clustered: bool = False) -> scored.Scored:
  """A scored log of what the model was trained on, users' tastes included."""
  cluster = users(rng, rows, clustered)
  fields = {}
  for name in ('item', 'shop'):
    group = rng.choice(ITEMS + 1, rows, p=_SHARE)
    if cluster is not None:
      own = rng.choice(ITEMS + 1, rows, p=_SHARE)[cluster]
      group = np.where(rng.random(rows) < 0.5, own, group)
    fields[name] = scored.Field(
      group.astype(np.uint8), np.arange(rows), group == 0, 0
    )
  group = rng.integers(0, DECILES, rows)
  fields['price'] = scored.Field(
    group.astype(np.uint8), np.arange(rows), np.zeros(rows, bool), 0
  )
  rate = rng.beta(1.0, 9.0, rows)
  if cluster is not None:
    rate = rng.beta(1.0, 9.0, rows)[cluster]
  click = (rng.random(rows) < rate).astype(float)
  buy = click * (rng.random(rows) < 0.3)
  return scored.Scored(
    rows,
    fields,
    (),
    {'click': rate, 'buy': 0.3 * rate},
    {'click': click, 'buy': buy},
    {},
    cluster,
  )


def trained(seed: int, train: int = 20_000, test: int = 2_000) -> model.Model:
  """A model that knows the rates of `log`, and the reference of its data."""
  rng = np.random.default_rng(seed)
  logs = {'train': log(rng, train), 'test': log(rng, test)}
  fields = {}
  for field in MANIFEST.fields:
    groups = DECILES if field.kind == 'numeric' else ITEMS + 1
    fields[field.name] = {
      'groups': list(range(groups - 1)),
      'counts': {
        name: np.bincount(
          of.fields[field.name].group, minlength=groups
        ).tolist()
        for name, of in logs.items()
      },
      'blank': {
        name: float(of.fields[field.name].blank.mean())
        for name, of in logs.items()
      },
      'untrained': [],
    }
  of = logs['test']
  names = MANIFEST.task_names
  values = np.stack([of.predictions[t] for t in names], 1).astype(np.float32)
  tasks = reference.distributions(values, names)
  found = model.Model(
    pathlib.Path(), MANIFEST, frozenset(), 'finetune', {'fields': fields}
  )
  found.reference['tasks'] = tasks
  from rmtl_jax.serving.monitoring import judge

  for task in names:
    tasks[task]['metrics'] = {
      **judge.figures(of.labels[task], of.predictions[task], True),
      'rows': test,
      'positives': int(of.labels[task].sum()),
    }
  return found

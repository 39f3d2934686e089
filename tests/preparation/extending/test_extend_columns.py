"""New days of tables with everything that a schema can say."""

from __future__ import annotations

import dataclasses
import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest_file, vectors
from rmtl_jax.preparation import contract, prepare_log, time_window
from tests import tiers
from tests.preparation import raw_files
from tests.preparation.extending import at_once

MINUTE, DAY = 60_000, 86_400_000
START = 1_700_000_000_000 // DAY * DAY
BASE = {
  'user': 'user',
  'item': 'item',
  'time': {'column': 'ts'},
  'categorical': ['user', 'item'],
  'tasks': [
    {'name': 'click', 'column': 'clicked'},
    {'name': 'conversion', 'column': 'bought', 'after': 'click'},
  ],
}
SCHEMAS = {
  # Sessions run over midnight; some rows are of none.
  'text': BASE
  | {
    'session': 'name',
    'user': 'person',
    'categorical': ['person', 'item', 'brand'],
    'multi_valued': [{'column': 'tags', 'separator': '|'}],
    'numeric': ['price'],
    'tasks': [
      {'name': 'click', 'column': 'clicked', 'known_after_seconds': 600},
      {
        'name': 'conversion',
        'column': 'bought',
        'after': 'click',
        'known_after_seconds': 18_000,
      },
    ],
  },
  'columns': BASE
  | {
    'categorical': [
      'user',
      {'column': 'item', 'vectors': {'file': 'vectors.parquet'}},
    ],
    'multi_valued': [{'column': 'seen', 'separator': '|', 'shares': 'item'}],
    'numeric': [{'column': 'price', 'transform': 'bins', 'bins': 4}],
    'from_time': ['hour'],
  },
  'missing labels': BASE
  | {
    'tasks': [
      {'name': 'click', 'column': 'clicked', 'known_after_seconds': 600},
      {
        'name': 'conversion',
        'column': 'maybe',
        'after': 'click',
        'only_after': True,
        'null': 'not_observed',
        'known_after_seconds': 7200,
        'weight': 'price',
      },
      {'name': 'spent', 'column': 'price', 'kind': 'regression'},
    ],
  },
  'label times': BASE
  | {
    'tasks': [
      {'name': 'click', 'time_column': 'clicked_at'},
      {'name': 'conversion', 'time_column': 'bought_at', 'after': 'click'},
    ],
  },
  'no item': {k: v for k, v in BASE.items() if k != 'item'}
  | {'categorical': ['user']},
  'no user': {k: v for k, v in BASE.items() if k != 'user'}
  | {'session': 'visit', 'categorical': ['item']},
  'slates': BASE | {'session': 'page', 'numeric': ['price']},
}


def write_log(tmp_path, seed=0, days=6, users=9, items=8, shown=1):
  """A Parquet file a day, with ids that are numbers.

  Each row stands there as often as one is `shown`, at other prices.
  """
  rng = np.random.default_rng(seed)
  found: list[list[dict]] = [[] for _ in range(days)]
  for user in range(users):
    time, visit = START + int(rng.integers(0, DAY // 4)), 0
    while time < START + days * DAY:
      day = (time - START) // DAY
      click, buy = rng.random() < 0.4, rng.random() < 0.5
      at = time + int(rng.integers(0, 300)) * MINUTE
      found[day].append(
        {
          'visit': f'{user}-{visit}',
          'page': f'{user}-{visit}-{time}',
          'name': f'v{user}-{visit}' if rng.random() < 0.95 else None,
          'user': user,
          'person': f'u{user}',
          'brand': f'b{rng.integers(0, 4)}' if rng.random() < 0.8 else None,
          'tags': '|'.join(
            f't{t}' for t in rng.integers(0, 4 + day, rng.integers(0, 3))
          ),
          'item': int(rng.integers(0, items)) + day,
          'seen': '|'.join(map(str, rng.integers(0, 16, rng.integers(0, 4)))),
          'price': float(rng.lognormal()),
          'chance': 0.1 + 0.2 * click,
          'ts': time,
          'clicked': int(click),
          'bought': int(click and buy),
          'maybe': int(buy) if click and rng.random() < 0.8 else None,
          'clicked_at': at if click else None,
          'bought_at': at + 3 * MINUTE if click and buy else None,
        }
      )
      far = rng.random() < 0.3
      visit += far
      time += int(rng.integers(*((40, 400) if far else (1, 29))) * MINUTE)
  for day, rows in enumerate(found):
    rows = [
      row | {'price': row['price'] * (1 + i % 3)}
      for row in sorted(rows, key=lambda row: row['ts'])
      for i in range(shown)
    ]
    path = tmp_path / f'day{day}' / f'{day}.parquet'
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path)
    whole = tmp_path / 'all-days' / f'{day}.parquet'
    whole.parent.mkdir(exist_ok=True)
    whole.hardlink_to(path)
  known = pa.table(
    {'item': range(items), 'vector': rng.normal(size=(items, 2)).tolist()}
  )
  pq.write_table(known, tmp_path / 'vectors.parquet')


@pytest.mark.parametrize('name', tiers.some(SCHEMAS, ('text',)))
def test_columns_of_every_kind(tmp_path, name):
  write_log(tmp_path, shown=4 if name == 'slates' else 1)
  schema = SCHEMAS[name]
  path = raw_files.write_schema(tmp_path / 'schema.json', schema)

  def settings(raw, data, last, **options):
    return prepare_settings.PrepareConfig(
      raw_dir=str(tmp_path / raw),
      data_dir=str(tmp_path / data),
      until=time_window.shown(START + last * DAY),
      **options,
    )

  as_of = ('auto', *(['tastes'] if name == 'text' else []))
  old = prepare_log.prepare(
    settings('all-days', 'old', 4, schema=path, as_of=as_of)
  )
  assert ('tastes' in old.options['as_of']) == (name == 'text')
  assert ('slate' in old.options['as_of']) == (name == 'slates')
  before = 'old'
  for day in (4, 5):
    config = settings(
      f'day{day}', f'to{day}', day + 1, extend=str(tmp_path / before)
    )
    before = f'to{day}'
    manifest = prepare_log.prepare(config)
    contract.check(tmp_path / before)
    once = at_once.prepare_at_once(
      settings('all-days', 'all', day + 1, schema=path, overwrite=True),
      tmp_path / before,
    )
    new = at_once.read(tmp_path / before, manifest, 'test')
    expected = at_once.read(tmp_path / 'all', once, 'test')
    assert len(new) == len(expected) > 20
    shift, users = new[0]['row_id'] - expected[0]['row_id'], {}
    for row, other in zip(new, expected, strict=True):
      assert row.pop('row_id') - other['row_id'] == shift
      # Users that are no numbers are numbered in another order.
      user = row.pop('user_id', None)
      assert users.setdefault(user, other.get('user_id')) == other.get(
        'user_id'
      )
      assert row == {field: other[field] for field in row}
    assert len({*users.values()}) == len(users)
    if day == 4:  # old rows keep their sessions and steps
      for split in ('train', 'validation'):
        known = {
          row['row_id']: row
          for row in at_once.read(tmp_path / 'all', once, split)
        }
        for row in at_once.read(tmp_path / before, manifest, split):
          for field in ('session_id', 'step', 'timestamp'):
            assert row[field] == known[row['row_id']][field]
  if name == 'slates':
    refuse_other_numbers(tmp_path, config)
  if name == 'columns':
    check_vectors(tmp_path, old)
    (tmp_path / 'to4' / 'vectors' / 'item.parquet').unlink()
    with pytest.raises(types.InputError, match=r'vectors/item\.parquet: '):
      prepare_log.prepare(dataclasses.replace(config, overwrite=True))


def refuse_other_numbers(tmp_path, config):
  """A manifest may say anything of what its features compare."""
  path = pathlib.Path(config.extend) / 'manifest.json'
  text = path.read_text()
  for number in ('none', 'item'):
    path.write_text(text.replace('"number": "price"', f'"number": "{number}"'))
    with pytest.raises(types.InputError, match='no such as-of feature'):
      prepare_log.prepare(dataclasses.replace(config, overwrite=True))
  path.write_text(text)


def check_vectors(tmp_path, old):
  """Known items keep their vectors, new ones have the mean."""
  new = manifest_file.read(tmp_path / 'to5')
  first = vectors.read(tmp_path / 'old', old)['item']
  last = vectors.read(tmp_path / 'to5', new)['item']
  assert len(last) > len(first) and np.any(first)
  np.testing.assert_array_equal(last[: len(first)], first)
  assert not np.any(last[len(first) :])

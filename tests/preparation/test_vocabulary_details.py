"""Sequences and vectors of a user's own table, through prepare."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax import types
from rmtl_jax.data import vectors as data_vectors
from rmtl_jax.preparation import contract
from tests.preparation import raw_files

# Item i % 5 in row i; i5 and i6 are in test rows alone.
ITEMS = [f'i{i % 5}' for i in range(16)] + ['i5', 'i6', '', 'i1']
PASTS = ['', 'i0', 'i1 i0 i9', ' i4  i3 i2 i1 i0'] * 5
HEADER = 'user,item,ts,past,clicked'


def lines():
  return [HEADER] + [
    f'u{i % 3},{item},{i * 10**7},{past},{i % 2}'
    for i, (item, past) in enumerate(zip(ITEMS, PASTS, strict=True))
  ]


def run(tmp_path, item=(), past=(), **options):
  item = dict(item)
  record = {
    'user': 'user',
    'item': 'item',
    'time': {'column': 'ts'},
    'categorical': ['user', {'column': 'item', **item}],
    'tasks': [{'name': 'click', 'column': 'clicked'}],
  }
  if past:
    record['multi_valued'] = [{'column': 'past', 'separator': ' ', **past}]
  manifest = raw_files.run_table(
    tmp_path,
    lines(),
    schema=raw_files.write_schema(tmp_path / 'schema.json', record),
    **options,
  )
  contract.check(tmp_path / 'out')
  return manifest


def pasts(tmp_path):
  words = raw_files.vocabulary(tmp_path, 'item')
  return [[words[i] for i in row['m_past']] for row in raw_files.read(tmp_path)]


def test_a_sequence_has_the_vocabulary_of_its_owner(tmp_path):
  manifest = run(tmp_path, past={'shares': 'item'})
  field = manifest.of_kind('multi_valued')[0]
  assert field.vocabulary_owner == 'item' and field.width == 5
  assert field.size == manifest.of_kind('categorical')[1].size
  # What the item's train rows lack is dropped.
  assert pasts(tmp_path)[:4] == [
    [None],
    ['i0'],
    ['i1', 'i0'],
    ['i4', 'i3', 'i2', 'i1', 'i0'],
  ]
  assert not (tmp_path / 'out' / 'vocabulary' / 'past.parquet').exists()
  spec = manifest.feature_spec()
  assert spec.vocabulary_owners == (1,)


def write_vectors(tmp_path, values, key='item', name='vector', **columns):
  table = {
    key: list(values),
    name: pa.array(list(values.values()), pa.list_(pa.float64())),
    **columns,
  }
  pq.write_table(pa.table(table), tmp_path / 'text.parquet')


def test_vectors_stand_by_the_vocabulary(tmp_path):
  given = {'i0': [1.0, 5], 'i2': [3.0, 5], 'i7': [9.0, 9]}
  write_vectors(tmp_path, given)
  manifest = run(tmp_path, item={'vectors': {'file': 'text.parquet'}})
  field = manifest.of_kind('categorical')[1]
  # i0 and i2 are in 5 of train's 12 rows.
  assert field.details['vectors'] == {
    'file': str(tmp_path / 'text.parquet'),
    'key': 'item',
    'vector': 'vector',
    'trained': False,
    'width': 2,
    'share': round(5 / 12, 4),
  }
  assert any(
    'have a value with a vector' in w for w in manifest.report['warnings']
  )
  found = data_vectors.read(tmp_path / 'out', manifest)['item']
  words = raw_files.vocabulary(tmp_path, 'item')
  # Centred, then divided by the root of the mean square, sqrt(1 / 2).
  by_word = {w: v.tolist() for w, v in zip(words, found, strict=True)}
  half = 2.0**0.5
  np.testing.assert_allclose(by_word['i0'], [-half, 0], rtol=1e-6)
  np.testing.assert_allclose(by_word['i2'], [half, 0], rtol=1e-6)
  assert by_word[None] == by_word['i1'] == [0, 0]
  spec = manifest.feature_spec()
  assert spec.pretrained == (types.Pretrained(1, 'item', 2),)
  names = [file['name'] for file in manifest.source_files]
  assert 'text.parquet' in names

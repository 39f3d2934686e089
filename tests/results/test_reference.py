import dataclasses
import json
import types as types_lib

import numpy as np
import pytest

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.preparation import sql
from rmtl_jax.preparation.description import described_splits, drift
from rmtl_jax.results import reference
from tests.preparation.description import data
from tests.preparation.extending import at_once


def test_distributions_have_equal_shares_between_their_edges():
  p = np.arange(100, dtype=np.float32)[:, None] / 100
  found = reference.distributions(p, ['click'])['click']
  assert len(found['edges']) == 9 and found['counts'] == [10] * 10
  # Ties have one edge.
  tied = reference.distributions(np.full((5, 1), 0.25, np.float32), ['click'])
  assert tied['click'] == {'edges': [0.25], 'counts': [5, 0]}


def test_calibrated_predictions_are_counted_as_they_are_served():
  # Calibrated values are of 64 bits; predictions are of 32.
  values = np.repeat([0.1, 0.2, 0.3, 0.7], 25)
  assert np.any(values.astype(np.float32) > values)
  found = reference.distributions(values[:, None], ['click'])['click']
  live = reference.place(values.astype(np.float32), found['edges'])
  counts = np.bincount(live, minlength=len(found['counts']))
  assert counts.tolist() == found['counts']


def test_groups_are_counted_by_hand(tmp_path):
  path = data.small(tmp_path / 'data')
  manifest = manifest_file.read(path)
  with (
    sql.connect() as connection,
    described_splits.scan(path, manifest) as rows,
  ):
    for field in manifest.fields:
      found = drift.grouped(connection, path, rows, field)
      fields = drift.of_fields(connection, path, manifest)
      (record,) = [of for of in fields if of['name'] == field.name]
      for name in drift.OTHERS:
        counts = found.counts['train'], found.counts[name]
        assert drift.psi(*counts)[0] == record['psi'][name]
      for name, counts in found.counts.items():
        assert len(counts) == len(found.parts) + 1
        if field.kind != 'multi_valued':
          assert counts.sum() == manifest.splits[name].rows
        if field.kind != 'numeric':
          assert found.blank[name] == record['unseen'][name]
          assert found.parts[0] == 0


def test_rows_of_a_sampled_log_count_as_those_that_they_stand_for(tmp_path):
  # Two negatives of four rows each, two positives: 10 rows, of 10 * 10 / 34.
  p, log_rows = np.array([[0.1], [0.1], [0.7], [0.7]]), np.array([4, 4, 1, 1])
  found = reference.distributions(p, ['click'], log_rows)['click']
  low, high = found['counts'][: found['counts'].index(0)], found['counts']
  np.testing.assert_allclose(sum(low), 80 / 34)
  np.testing.assert_allclose(sum(high), 100 / 34)
  path = data.small(tmp_path / 'data')
  manifest = manifest_file.read(path)
  first, *others = manifest.tasks
  sampled = dataclasses.replace(first, negatives_kept=0.25)
  manifest = dataclasses.replace(manifest, tasks=(sampled, *others))
  run = types_lib.SimpleNamespace(
    path=tmp_path, data_dir=path, manifest=manifest
  )
  reference.write(run)
  record = json.loads((tmp_path / reference.FILE).read_text())['fields']
  field = manifest.of_kind('categorical')[0]
  of = record[field.name]
  for split in reference.SPLITS:
    rows = at_once.read(path, manifest, split)
    weight = np.array([1 if row[f'y_{first.name}'] else 4 for row in rows])
    weight = weight * weight.sum() / (weight**2).sum()
    value = np.array([row[field.column] for row in rows])
    expected = [weight[value == group].sum() for group in of['groups']]
    np.testing.assert_allclose(of['counts'][split][:-1], expected)
    np.testing.assert_allclose(sum(of['counts'][split]), weight.sum())
    blank = weight[value == 0].sum() / weight.sum()
    assert of['blank'][split] == pytest.approx(blank)
  for name, one in record.items():
    if name in manifest.numeric_names:
      assert sum(one['counts']['test']) == pytest.approx(weight.sum())


_FIELD = {
  'groups': [0, 1],
  'counts': {'train': [1, 2, 3], 'test': [0, 0, 1]},
  'blank': {'train': 0.0, 'test': 0.5},
  'untrained': [[3, 5]],
}
_TASK = {'edges': [0.5], 'counts': [1, 1], 'metrics': {'auc': None}}
_MANIFEST = manifest_lib.Manifest(
  source='tiny',
  fields=(manifest_lib.Field('item', 'categorical', size=5),),
  tasks=(manifest_lib.Task('click'),),
  splits={},
)


def test_a_record_is_read_as_it_was_written(tmp_path):
  record = {'fields': {'item': _FIELD}, 'tasks': {'click': _TASK}}
  (tmp_path / 'reference.json').write_text(json.dumps(record))
  found = reference.read(tmp_path / 'reference.json', _MANIFEST)
  assert found == record

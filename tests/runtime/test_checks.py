"""What a run's directory refuses: places, settings and data."""

import dataclasses

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rmtl_jax import types
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import workdir, workdir_checks
from tests import paper, tiny


@pytest.mark.parametrize(
  ('place', 'told'),
  [
    ('run/checkpoints', 'is a part of .*/run; choose'),
    ('run/report/mine', 'is a part of .*/run; choose'),
    ('data', 'contains prepared data; choose'),
    ('other', 'contains prepared data; choose'),
    ('backtest', 'contains a backtest; choose'),
    ('export', 'contains an exported model; choose'),
  ],
)
def test_nothing_is_begun_in_what_belongs_to_something_else(
  tmp_path, place, told
):
  data, config = tmp_path / 'data', paper.config()
  for one in (data, tmp_path / 'other'):
    tiny.write_prepared(one)
  for name in ('run/checkpoints', 'run/report/mine', 'backtest', 'export'):
    (tmp_path / name).mkdir(parents=True)
  (tmp_path / 'backtest' / workdir_checks.BACKTEST).write_text('{}')
  (tmp_path / 'export' / 'export.json').write_text('{}')
  workdir.create(tmp_path / 'run', config, data)
  for kind in workdir.KINDS:
    with pytest.raises(types.InputError, match=told):
      workdir.create(tmp_path / place, config, data, kind=kind)
  assert not (tmp_path / place / 'config.json').exists()
  # Runs of an ensemble's members and the paper's model have their places.
  member = tmp_path / 'run' / 'members' / '0'
  member.mkdir(parents=True)
  assert workdir.create(member, config, data).path == member


@pytest.mark.parametrize(
  ('change', 'said'),
  [
    ({'name': 'other'}, "'other': name: 'other', the run has '{name}'"),
    ({'size': 77}, "'{name}': vocabulary rows: 77, the run has {size}"),
  ],
)
def test_a_field_that_differs_is_named_with_both_values(tmp_path, change, said):
  data, path = tmp_path / 'data', tmp_path / 'it'
  manifest = tiny.write_prepared(data)
  path.mkdir()
  run = workdir.create(path, paper.config(), data)
  first, *rest = manifest.fields
  fields = (dataclasses.replace(first, **change), *rest)
  line = said.format(name=first.name, size=first.size)
  with pytest.raises(types.InputError, match=f'^x: field number 1, {line}$'):
    workdir_checks.check_compatible(
      run.manifest, dataclasses.replace(manifest, fields=fields), 'x'
    )


def test_ids_and_numbers_that_mean_something_else_are_refused(tmp_path):
  run_dir, data, other = (tmp_path / name for name in ('it', 'data', 'other'))
  values: list[str | None] = [None, *map(str, range(19))]
  swapped = [*values[:2], values[3], values[2], *values[4:]]
  scale = {'transform': 'standard', 'mean': 1.0, 'deviation': 2.0}
  for path, words in ((data, values), (other, swapped)):
    manifest = tiny.write_prepared(path)
    fields = [
      dataclasses.replace(f, details=scale) if f.name == 'price' else f
      for f in manifest.fields
    ]
    manifest = dataclasses.replace(manifest, fields=tuple(fields))
    manifest_file.write(manifest, path)
    (path / 'vocabulary').mkdir()
    table = pa.table({'value': words, 'count': range(20)})
    pq.write_table(table, path / 'vocabulary' / 'item.parquet')
  run_dir.mkdir()
  run = workdir.create(run_dir, paper.config(), data)
  manifest = run.manifest
  workdir_checks.check_encoding(run.path, run.manifest, manifest, data)
  with pytest.raises(
    types.InputError, match="'item': vocabulary row 2: '2', the run has '1';"
  ):
    workdir_checks.check_encoding(run.path, run.manifest, manifest, other)
  # Without one there is nothing to compare.
  (other / 'vocabulary' / 'item.parquet').unlink()
  workdir_checks.check_encoding(run.path, run.manifest, manifest, other)
  *rest, price = manifest.fields
  fields = (*rest, dataclasses.replace(price, details={}))
  workdir_checks.check_encoding(
    run.path, run.manifest, dataclasses.replace(manifest, fields=fields), data
  )
  fields = (*rest, dataclasses.replace(price, details=scale | {'mean': 1.5}))
  with pytest.raises(
    types.InputError, match=r"'price': mean: 1.5, the run has 1.0;"
  ):
    workdir_checks.check_encoding(
      run.path, run.manifest, dataclasses.replace(manifest, fields=fields), data
    )

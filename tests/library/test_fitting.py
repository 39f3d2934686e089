"""The directory of a Ranker."""

from __future__ import annotations

from rmtl_jax.library import fitting


def _fitted(tmp_path):
  """What a fitted RUN has, but for the model."""
  source = tmp_path / 'source'
  source.mkdir()
  for name in (fitting.FILE, 'schema.json'):
    (source / name).write_text('{"log": "its digest"}')
  (source / fitting.LOG).write_bytes(b'all rows')
  return source


def test_what_is_saved_is_all_but_what_training_needs(tmp_path):
  source = _fitted(tmp_path)
  of_member = 'members/0/checkpoints'
  for name in ('vocabulary/a.parquet', f'{of_member}/pretrain/0/array'):
    (source / name).parent.mkdir(parents=True)
    (source / name).write_text(name)
  (source / of_member / 'state' / '1').mkdir(parents=True)
  fitting.save(source, tmp_path / 'saved', False, None, False)
  found = {str(p.relative_to(source)) for p in source.rglob('*')}
  gone = {name for name in found if 'state' in name}
  assert len(gone) == 2
  saved = tmp_path / 'saved'
  assert {str(p.relative_to(saved)) for p in saved.rglob('*')} == (
    found - gone - {fitting.LOG}
  )

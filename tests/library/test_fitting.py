"""The directory of a Ranker, wherever a process was killed."""

from __future__ import annotations

import pytest

from rmtl_jax import durable
from rmtl_jax.library import fitting


def _fitted(tmp_path):
  """What a refit takes of a fitted RUN, but for the model."""
  source = tmp_path / 'source'
  source.mkdir()
  for name in (fitting.FILE, 'schema.json'):
    (source / name).write_text('{"log": "its digest"}')
  (source / fitting.LOG).write_bytes(b'all rows')
  return source


def test_a_refit_that_was_killed_while_it_copied_goes_on(tmp_path):
  source, place = _fitted(tmp_path), tmp_path / 'again'
  place.mkdir()
  (place / fitting.FILE).write_bytes((source / fitting.FILE).read_bytes())
  (place / f'.{fitting.LOG}.partial').write_bytes(b'all r')
  with fitting.refitting(source, place):
    (place / 'config.json').touch()  # the refit has begun
  names = fitting.FILE, fitting.LOG, 'schema.json'
  assert {p.name for p in place.iterdir()} == {'config.json', *names}
  for name in names:
    assert (place / name).read_bytes() == (source / name).read_bytes()


def test_a_table_is_never_there_in_part(tmp_path, monkeypatch):
  source, place = _fitted(tmp_path), tmp_path / 'again'
  copy, found = durable.copy_file, []

  def copied(path, target):
    copy(path, target)
    found.append(sorted(p.name for p in place.iterdir()))

  monkeypatch.setattr(durable, 'copy_file', copied)
  with (
    pytest.raises(RuntimeError, match='cannot begin'),
    fitting.refitting(source, place),
  ):
    raise RuntimeError('cannot begin')
  assert found == [
    ['.ranker.json.partial'],
    ['.log.parquet.partial', 'ranker.json'],
    ['.schema.json.partial', 'log.parquet', 'ranker.json'],
  ]
  assert not place.exists()


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

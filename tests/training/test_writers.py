from rmtl_jax.training import writers


def test_tags_name_the_stage_and_the_member(tmp_path, monkeypatch):
  writer = writers.Writer(tmp_path, [])
  found = []
  monkeypatch.setattr(
    writer._board, 'add_scalar', lambda *scalar: found.append(scalar)
  )
  record = {'stage': 'pretrain', 'epoch': 2, 'loss': 0.5}
  writer.write(record)
  writer.write({**record, 'member': 3})
  writer.close()
  assert found == [
    ('pretrain/loss', 0.5, 2),
    ('pretrain/member_3/loss', 0.5, 2),
  ]

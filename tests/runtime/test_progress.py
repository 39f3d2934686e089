"""The live line, as a terminal would show it."""

import io

import pytest

from rmtl_jax.runtime import progress


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def shown(stream):
  """What a terminal has on its lines in the end."""
  lines = []
  for line in stream.getvalue().split('\n'):
    cells = []
    for text in line.split('\r'):
      cells[: len(text)] = text
    lines.append(''.join(cells).rstrip())
  return [line for line in lines if line]


def _train(live, epochs=2):
  with live.stage(3 * 100, lambda: ['pretrain  2 epochs']):
    for epoch in range(1, epochs + 1):
      live.start(f'pretrain epoch {epoch}', 100)
      live.advance(60)
      live.finish(f'loss 0.{epoch}', note=f'AUC 0.6{epoch}')


def test_a_stage_is_a_line_per_epoch_elsewhere():
  stream = io.StringIO()
  _train(progress.Progress(stream))
  lines = [line.split('  ')[:2] for line in stream.getvalue().splitlines()]
  assert lines == [
    ['pretrain epoch 1', 'loss 0.1'],
    ['pretrain epoch 2', 'loss 0.2'],
  ]
  assert '\r' not in stream.getvalue()


def test_a_stage_that_fails_leaves_no_half_line():
  stream = _Terminal()
  live = progress.Progress(stream)
  with pytest.raises(KeyError), live.stage(100):
    live.start('critic pass 1', 100)
    live.advance(10)
    raise KeyError
  assert shown(stream) == []
  live.start('predict', 100)
  live.advance(10)
  assert 'left in this pass' in stream.getvalue()

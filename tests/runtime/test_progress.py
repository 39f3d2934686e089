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

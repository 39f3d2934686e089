"""The live line, as a terminal would show it."""

import io

from rmtl_jax.training import progress


class _Terminal(io.StringIO):
  def isatty(self):
    return True


def test_share_and_time_left_where_the_total_is_known():
  stream = _Terminal()
  live = progress.Progress(stream)
  live.start('predict', 200)
  live.advance(50)
  assert 'predict   25 %' in stream.getvalue()
  assert 'left in this pass' in stream.getvalue()


def test_rows_where_the_total_is_not_known():
  stream = _Terminal()
  live = progress.Progress(stream)
  live.start('predict', 0)
  live.advance(1000)
  live.advance(500)
  assert 'predict  1,500 rows  ' in stream.getvalue()
  assert '%' not in stream.getvalue() and 'left' not in stream.getvalue()


def test_one_line_of_a_pass_elsewhere():
  stream = io.StringIO()
  live = progress.Progress(stream)
  live.start('predict', 0)
  live.advance(7)
  live.finish('7 rows')
  assert stream.getvalue().startswith('predict  7 rows  ')
  assert stream.getvalue().count('\n') == 1


def test_a_pass_of_many_ends_with_a_line_of_each():
  stream = io.StringIO()
  live = progress.Progress(stream)
  live.start('pretrain epoch 1, 2 together', 0)
  for member in (0, 1):
    live.finish('loss 0.5', label=f'member {member}: pretrain epoch 1')
  assert [line.split('  ')[0] for line in stream.getvalue().splitlines()] == [
    'member 0: pretrain epoch 1',
    'member 1: pretrain epoch 1',
  ]

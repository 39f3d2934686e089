"""The live line, as a terminal would show it."""

import io
import os

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


def _train(live, epochs=2):
  with live.stage(3 * 100, lambda: ['pretrain  2 epochs']):
    for epoch in range(1, epochs + 1):
      live.start(f'pretrain epoch {epoch}', 100)
      live.advance(60)
      live.finish(f'loss 0.{epoch}', note=f'AUC 0.6{epoch}')


def test_a_stage_is_one_line_on_a_terminal():
  stream = _Terminal()
  _train(progress.Progress(stream))
  assert shown(stream) == ['pretrain  2 epochs']
  second = stream.getvalue().split('\r')[3]
  assert second.startswith('pretrain epoch 2   60 %  ')
  assert '  AUC 0.61  ' in second and 'rows/s' in second
  # Of its own pass, and of the three passes that there can be at most.
  assert 'left, stage < 0:00' in second


def test_a_stage_is_a_line_per_epoch_elsewhere():
  stream = io.StringIO()
  _train(progress.Progress(stream))
  lines = [line.split('  ')[:2] for line in stream.getvalue().splitlines()]
  assert lines == [
    ['pretrain epoch 1', 'loss 0.1'],
    ['pretrain epoch 2', 'loss 0.2'],
  ]
  assert '\r' not in stream.getvalue()


def test_many_runs_leave_no_line_of_a_stage():
  stream = _Terminal()
  _train(progress.Progress(stream, brief=True))
  assert 'pretrain  2 epochs' not in stream.getvalue()


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


def test_a_line_is_cut_where_it_would_wrap(monkeypatch):
  stream = _Terminal()
  live = progress.Progress(stream)
  live.start('x' * 300, 100)
  live.advance(10)
  assert max(map(len, stream.getvalue().split('\r'))) == 79
  size = os.terminal_size((30, 20))
  monkeypatch.setattr(os, 'get_terminal_size', lambda fileno: size)
  monkeypatch.setattr(stream, 'fileno', lambda: 2, raising=False)
  live.clear()
  live.start('y' * 300, 100)
  live.advance(10)
  assert 'y' * 29 in stream.getvalue() and 'y' * 30 not in stream.getvalue()


def test_a_pass_that_compiles_tells_no_time():
  stream = _Terminal()
  live = progress.Progress(stream)
  with live.stage(200):
    live.start('pretrain epoch 1', 100, compiles=True)
    assert shown(stream) == ['pretrain epoch 1  compiling']
    live.advance(50)
    assert shown(stream) == ['pretrain epoch 1   50 %']


def test_a_first_pass_says_that_it_was_compiled():
  stream = io.StringIO()
  live = progress.Progress(stream)
  for compiles in (True, False):
    live.start('pretrain epoch 1', 100, compiles)
    live.advance(100)
    live.finish('loss 0.5')
  first, second = stream.getvalue().splitlines()
  assert first == 'pretrain epoch 1  loss 0.5  (compiled)'
  assert second.endswith(' rows/s')


@pytest.mark.parametrize(
  ('summary', 'end'),
  [('x' * 46, ' rows/s'), ('x' * 50, '/s'), ('x' * 60, 'x')],
)
def test_a_line_of_a_pass_has_80_columns(monkeypatch, summary, end):
  stream, clock = io.StringIO(), iter([0.0, 1.0])
  monkeypatch.setattr(progress.time, 'perf_counter', lambda: next(clock))
  live = progress.Progress(stream)
  live.start('pretrain epoch 1', 0)
  live.advance(123_456)
  live.finish(summary)
  (line,) = stream.getvalue().splitlines()
  assert line.startswith(f'pretrain epoch 1  {summary}') and len(line) <= 80
  assert line.endswith(end) and ('123,456/s' in line) == (end == '/s')


def test_a_sentence_is_filled_and_tables_are_not():
  stream = io.StringIO()
  live = progress.Progress(stream)
  path, table = 'p' * 90, 'a  ' * 40 + '\n' + 'b  ' * 40
  live.say(f'WARNING: {path}: ' + 'words ' * 20)
  live.say(table)
  *said, first, second = stream.getvalue().splitlines()
  assert f'  {path}:' in said and len(said) > 2
  assert all(len(line) <= 80 for line in said if path not in line)
  assert f'{first}\n{second}' == table


def test_wide_letters_of_a_live_line_are_cut_and_cleared(monkeypatch):
  stream = _Terminal()
  live = progress.Progress(stream)
  monkeypatch.setattr(live, '_columns', lambda: 11)
  live.step('点击点击点击', 0.5)  # 12 cells
  assert stream.getvalue() == '\r点击点击点\r'
  live.clear()
  assert stream.getvalue().endswith('\r' + ' ' * 10 + '\r')

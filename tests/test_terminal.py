"""Sentences on 80 columns."""

from rmtl_jax import terminal


def test_words_stay_whole_and_later_lines_are_indented():
  path = 'p' * 90
  text = f'{path}: is-no-run ' + 'words ' * 30
  first, *others = terminal.lines(text)
  assert first == f'{path}:'
  assert all(len(line) <= 80 for line in others) and len(others) > 1
  assert all(line.startswith('  ') for line in others)
  assert terminal.filled(text).split() == text.split()
  assert 'is-no-run' in others[0]
  assert terminal.lines('a b', first='> ', rest='  ') == ['> a b']
  assert terminal.lines('') == []

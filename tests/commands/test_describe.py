"""`rmtl describe` as a person meets it."""

from rmtl_jax import cli
from tests.preparation.description import data


def _describe(*argv):
  return cli.main(['rmtl', 'describe', *map(str, argv)])


def test_prints_tables_and_writes_a_page(tmp_path, capsys):
  path = data.small(tmp_path / 'data')
  assert _describe(path) == 0
  shown = capsys.readouterr().out
  assert 'drift:' in shown and f'report: {path}/report/report.html' in shown
  assert (path / 'report' / 'report.html').is_file()
  assert (path / 'report' / 'pictures' / 'drift.svg').is_file()
  # The page is no part of the data.
  assert _describe(f'--data_dir={path}', f'--output={tmp_path}/page') == 0
  assert (tmp_path / 'page' / 'report.md').is_file()


def test_what_is_no_data_is_one_line(tmp_path, capsys):
  for argv, part in (
    ((), '--data_dir: is needed'),
    ((tmp_path,), 'manifest.json'),
    ((tmp_path, 'more'), "'more': --data_dir takes one"),
  ):
    assert _describe(*argv) == 2
    err = capsys.readouterr().err
    assert part in err and err.count('\n') == 1

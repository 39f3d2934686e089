"""`rmtl describe` as a person meets it."""

from rmtl_jax import cli
from tests.preparation.description import data


def _describe(*argv):
  return cli.main(['rmtl', 'describe', *map(str, argv)])


def test_prints_tables(tmp_path, capsys):
  path = data.small(tmp_path / 'data')
  before = sorted(path.iterdir())
  assert _describe(path) == 0
  assert 'drift:' in capsys.readouterr().out
  assert sorted(path.iterdir()) == before


def test_what_is_no_data_is_one_line(tmp_path, capsys):
  for argv, part in (
    ((), '--data_dir: is needed'),
    ((tmp_path,), 'manifest.json'),
    ((tmp_path, 'more'), "'more': --data_dir takes one"),
  ):
    assert _describe(*argv) == 2
    err = capsys.readouterr().err
    assert part in err and err.count('\n') == 1

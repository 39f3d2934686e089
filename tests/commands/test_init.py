"""`rmtl init` as a person meets it: files, what is printed, exit codes."""

import json
import shlex

import pytest

from rmtl_jax import cli
from tests.preparation.guess import logs


def _init(*argv):
  return cli.main(['rmtl', 'init', *map(str, argv)])


@pytest.fixture
def log(tmp_path):
  return logs.write(tmp_path / 'my log.csv', logs.shop())


def test_writes_a_schema_reasons_and_the_next_commands(log, tmp_path, capsys):
  schema = tmp_path / 'schema.json'
  assert _init(log, f'--output={schema}') == 0
  assert json.loads(schema.read_text())['user'] == 'customer'
  reasons = (tmp_path / 'schema.md').read_text()
  assert '| `is_click` | label | named like an outcome' in reasons
  shown = capsys.readouterr().out
  assert 'all 400 rows' in ' '.join(shown.split())
  assert '--data_dir=data/my_log' in shown
  commands = shown.split('Next:\n')[1].replace(' \\\n', '')
  words = [shlex.split(line) for line in commands.splitlines()]
  assert [line[:2] for line in words] == [
    ['rmtl', 'prepare'],
    ['rmtl', 'describe'],
    ['rmtl', 'train'],
  ]
  # The first is taken at its word, the directory of the data aside.
  line = [w for w in words[0] if not w.startswith('--data_dir')]
  assert cli.main([*line, f'--data_dir={tmp_path}/data']) == 0


def test_nothing_is_overwritten_unless_asked(log, tmp_path, capsys):
  reasons = tmp_path / 'schema.md'
  reasons.write_text('mine')
  assert _init(log, f'--output={tmp_path}/schema.json') == 2
  assert 'schema.md: exists; --overwrite replaces it' in capsys.readouterr().err
  assert reasons.read_text() == 'mine'
  assert not (tmp_path / 'schema.json').exists()
  assert _init(log, f'--output={tmp_path}/schema.json', '--overwrite') == 0
  assert reasons.read_text() != 'mine'


@pytest.mark.parametrize(
  ('argv', 'part'),
  [
    ((), '--raw_dir: is needed'),
    (('nowhere.csv',), 'nowhere.csv: not found'),
    (('a.csv', 'b.csv'), "'b.csv': --raw_dir takes one"),
    (('{log}', '--delimiter=ab'), "'ab' is not one character"),
    (('{log}', '--output={tmp}/x/s.json'), 'x: is no directory'),
    (('{log}', '--output={tmp}/s.md'), 'expected .json'),
    (('{log}', '--output=.'), '--output: .: is a directory'),
    (('{log}', '--rows=999'), 'rows'),
    (('{log}', '--label=is_clik'), "did you mean 'is_click'"),
  ],
)
def test_bad_usage_is_one_line(log, tmp_path, capsys, monkeypatch, argv, part):
  monkeypatch.chdir(tmp_path)
  given = [word.format(log=log, tmp=tmp_path) for word in argv]
  assert _init(*given) == 2
  err = capsys.readouterr().err
  assert part in err and err.count('\n') == 1
  assert not [*tmp_path.glob('*.json'), *tmp_path.glob('-*')]

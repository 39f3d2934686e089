"""The documentation: up to date, its links lead somewhere, its code runs."""

import importlib.util
import json
import pathlib
import re
import shlex
import subprocess
import sys

import pytest
from absl import flags

from rmtl_jax import cli
from rmtl_jax import config as config_lib
from rmtl_jax.config import flags as config_flags
from rmtl_jax.config import values as config_values
from tests import registries as registries_lib
from tests import walks

_ROOT = pathlib.Path(__file__).parents[2]
_DOCS = _ROOT / 'docs'
_PAGES = sorted(
  [*_DOCS.glob('*.md'), *_ROOT.glob('*.md'), *_ROOT.glob('experiments/*.md')]
)
_NOTEBOOKS = sorted(_ROOT.glob('experiments/notebooks/*.py'))
_LINK = re.compile(r'\]\(([^)\s]+)\)')


def _written(script: str) -> str:
  """What a script of .ci would write."""
  path = _ROOT / '.ci' / f'{script}.py'
  spec = importlib.util.spec_from_file_location(script, path)
  assert spec is not None and spec.loader is not None
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return module.page()


def test_the_configuration_page_is_up_to_date():
  page = (_DOCS / 'configuration.md').read_text(encoding='utf-8')
  is_new = page == _written('docs_configuration')
  assert is_new, 'run: python .ci/docs_configuration.py'
  for name in config_values.flatten(config_lib.Config()):
    assert f'| `{name}` |' in page


@pytest.mark.parametrize('path', _PAGES, ids=lambda path: path.name)
def test_links_lead_somewhere(path):
  text = path.read_text(encoding='utf-8')
  text = re.sub(r'```.*?```', '', text, flags=re.DOTALL)
  for link in _LINK.findall(text):
    target, _, anchor = link.partition('#')
    if ':' in target:
      continue
    found = (path.parent / target).resolve() if target else path
    assert found.exists(), link
    if anchor:
      titles = re.findall(r'^#+ (.*)$', found.read_text('utf-8'), re.MULTILINE)
      slugs = [re.sub(r'[^\w\- ]', '', t.lower()) for t in titles]
      assert anchor in [slug.replace(' ', '-') for slug in slugs], link


@pytest.mark.parametrize(
  'page',
  [str(path.relative_to(_ROOT)) for path in _PAGES]
  + [f'experiments/notebooks/{p.name}' for p in _NOTEBOOKS],
)
def test_commands_have_flags_that_there_are(page):
  """Each `rmtl COMMAND --flag=value` of a page is parsed, and not run."""
  for line in walks.lines(page):
    # Optional flags stand in brackets.
    _, name, *rest = shlex.split(re.sub(r'[][]', '', line), comments=True)
    # Of words that stand for something, and of files that are not here.
    kept = [a for a in rest if not a.startswith(('--config=', '--help', '...'))]
    values, argv = flags.FlagValues(), [f'rmtl {name}', *kept]
    if name == 'help':
      continue
    cli.COMMANDS[name].define(values, argv)
    assert not values(argv)[1:] or cli.COMMANDS[name].arguments, line
    if 'preset' in values:
      config_flags.parse(values)


@pytest.fixture
def registries():
  """What pages register is forgotten after the test."""
  kept = registries_lib.Registries()
  yield
  kept.undo()


@pytest.mark.slow
@pytest.mark.usefixtures('registries')
@pytest.mark.parametrize(
  ('name', 'leaves'),
  [
    ('library', None),
    pytest.param(
      'quick_start', 'runs/small/metrics.json', marks=pytest.mark.long
    ),
  ],
)
def test_code_of_a_page_runs(name, leaves, tmp_path, monkeypatch):
  monkeypatch.chdir(tmp_path)
  page = (_DOCS / f'{name}.md').read_text(encoding='utf-8')
  blocks = re.findall(r'^```python\n(.*?)^```', page, re.DOTALL | re.MULTILINE)
  assert blocks
  space = {'__name__': name}
  for block in blocks:
    exec(compile(block, f'{name}.md', 'exec'), space)
  if leaves:
    record = json.loads((tmp_path / leaves).read_text(encoding='utf-8'))
    walks.assert_beats_rates(record, 'pretrain')


@pytest.mark.slow
def test_the_site_builds_without_warnings(tmp_path):
  for package in ('mkdocs', 'material', 'mkdocstrings'):
    pytest.importorskip(package)
  built = subprocess.run(
    [sys.executable, '-m', 'mkdocs', 'build', '--strict', '-d', str(tmp_path)],
    cwd=_ROOT,
    capture_output=True,
    text=True,
  )
  assert built.returncode == 0, built.stderr[-3000:]
  api = (tmp_path / 'api.html').read_text(encoding='utf-8')
  assert 'scale_by_critic' in api
  assert 'omega' in (tmp_path / 'concepts.html').read_text(encoding='utf-8')

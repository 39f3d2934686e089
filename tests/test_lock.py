"""requirements.lock and the image that is built from it."""

import pathlib
import re
import tomllib

from packaging import requirements

_ROOT = pathlib.Path(__file__).parents[1]
_LINE = re.compile(r'([\w.-]+)==([\w.+!-]+)( ;.*)?')


def _name(text: str) -> str:
  return re.sub(r'[-_.]+', '-', text).lower()


def _locked() -> dict[str, list[str]]:
  """Versions by package, one or one per marker."""
  found: dict[str, list[str]] = {}
  for line in (_ROOT / 'requirements.lock').read_text('utf-8').splitlines():
    if not line.startswith('#'):
      match = _LINE.fullmatch(line)
      assert match, line  # no URL, no option, nothing but versions
      found.setdefault(_name(match[1]), []).append(match[2])
  return found


def test_the_lock_has_a_version_of_all_that_is_installed_by_it():
  """Mended by `.ci/lock`."""
  project = tomllib.loads((_ROOT / 'pyproject.toml').read_text('utf-8'))[
    'project'
  ]
  extras, locked = project['optional-dependencies'], _locked()
  wanted = [*project['dependencies']]
  for name in ('dev', 'docs', 'export', 'notebooks', 'serve', 'spark', 'tune'):
    wanted += extras[name]
  for text in wanted:
    one = requirements.Requirement(text)
    if one.name == 'rmtl-jax':
      continue
    assert _name(one.name) in locked, text
    for version in locked[_name(one.name)]:
      assert one.specifier.contains(version), text

"""MkDocs: links to files beside docs/ work on the site as they do in the tree.

Pages link to results, pictures and notes elsewhere in the repository by
relative paths. Markdown and pictures among them become part of the site, under
`repository/`; of other targets (code, directories) the link's text stays.
"""

from __future__ import annotations

import pathlib
import posixpath
import re
from typing import Any

from mkdocs.structure import files as files_lib

_ROOT = pathlib.Path(__file__).resolve().parents[1]
_LINK = re.compile(r'(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^)\s]+)\)')
_SHOWN = ('.md', '.png', '.svg')
_UNDER = 'repository/'


def on_files(files: Any, config: Any) -> Any:
  """Adds what pages link to, and what that links to in turn."""
  todo = [f.src_uri for f in files if f.src_uri.endswith('.md')]
  while todo:
    uri = todo.pop()
    for path in _outside(_source(uri)):
      added = _UNDER + path
      if files.get_file_from_path(added):
        continue
      files.append(
        files_lib.File.generated(config, added, abs_src_path=str(_ROOT / path))
      )
      if added.endswith('.md'):
        todo.append(added)
  return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Any) -> str:
  """Points links at where their targets are on the site."""
  del config
  uri = page.file.src_uri
  here = posixpath.dirname(_source(uri))

  def replaced(match: re.Match[str]) -> str:
    mark, text, link = match.groups()
    path, _, anchor = link.partition('#')
    if not path or ':' in path:
      return match[0]
    target = posixpath.normpath(posixpath.join(here, path))
    on_site = _UNDER + target
    if target.startswith('docs/'):
      on_site = target.removeprefix('docs/')
    if not files.get_file_from_path(on_site):
      # A dead link stays, so that MkDocs warns of it.
      return text if (_ROOT / target).exists() else match[0]
    relative = posixpath.relpath(on_site, posixpath.dirname(uri) or '.')
    return f'{mark}[{text}]({relative}{"#" + anchor if anchor else ""})'

  return _LINK.sub(replaced, markdown)


def _source(uri: str) -> str:
  """A page's path in the repository."""
  if uri.startswith(_UNDER):
    return uri.removeprefix(_UNDER)
  return f'docs/{uri}'


def _outside(path: str) -> list[str]:
  """Markdown and pictures beside docs/ to which a file links."""
  text = (_ROOT / path).read_text(encoding='utf-8')
  targets = [
    posixpath.normpath(posixpath.join(posixpath.dirname(path), match[3]))
    for match in _LINK.finditer(text)
    if ':' not in match[3]
  ]
  return [
    target
    for target in (t.partition('#')[0] for t in targets)
    if target.endswith(_SHOWN)
    and not target.startswith(('docs/', '..'))
    and (_ROOT / target).is_file()
  ]

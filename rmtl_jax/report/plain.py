"""Text that came from data: reports show it and never obey it.

Names of tasks, fields and sources, paths and warnings may be a stranger's.
"""

from __future__ import annotations

import html

import matplotlib

_MARKS = str.maketrans({mark: f'\\{mark}' for mark in '\\`[]|*'})


def one_line(text: object) -> str:
  r"""Text on one line whose every character can be shown, and be written.

  >>> one_line('a\n b\x1b[31m')
  'a b\\x1b[31m'
  """
  return ''.join(
    c if c.isprintable() else c.encode('unicode_escape').decode()
    for c in ' '.join(str(text).split())
  )


def markdown(text: object) -> str:
  r"""Text that is no HTML, link, picture or emphasis in GitHub's Markdown.

  >>> markdown('<img src=x> [click](http://x)')
  '&lt;img src=x&gt; \\[click\\](http://x)'
  """
  return html.escape(one_line(text).translate(_MARKS), quote=False)


def code(text: object) -> str:
  """Text as code in Markdown, where backslashes and entities mean nothing.

  >>> code('a`b')
  "`a'b`"
  """
  return '`' + one_line(text).replace('`', "'") + '`'


def figures():
  """For a `with` or as a decorator: dollars in pictures are just dollars."""
  return matplotlib.rc_context({'text.parse_math': False})

"""Escapes text that came from data, so that reports only show it.

Names of tasks, fields and sources, paths and warnings may come from anybody.
"""

from __future__ import annotations

import html

import matplotlib

from rmtl_jax import types

_MARKS = str.maketrans({mark: f'\\{mark}' for mark in '\\`[]|*'})


def markdown(text: object) -> str:
  r"""Escapes HTML, links, pictures and emphasis for GitHub's Markdown.

  >>> markdown('<img src=x> [click](http://x)')
  '&lt;img src=x&gt; \\[click\\](http://x)'
  """
  return html.escape(types.one_line(text).translate(_MARKS), quote=False)


def code(text: object) -> str:
  """Formats text as Markdown code, where no escapes are needed.

  >>> code('a`b')
  "`a'b`"
  """
  return '`' + types.one_line(text).replace('`', "'") + '`'


def figures():
  """Turns Matplotlib's math mode off; a context manager and decorator."""
  return matplotlib.rc_context({'text.parse_math': False})

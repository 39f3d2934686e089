"""Escapes text that came from data, so that reports only show it.

Names of tasks, fields and sources, paths and warnings may come from anybody.
"""

from __future__ import annotations

import html
import re

import matplotlib

from rmtl_jax import types

_MARKS = str.maketrans({mark: f'\\{mark}' for mark in '\\`[]|*'})
# An underscore can begin emphasis where no letter or digit stands before it.
_OPENS = re.compile(r'(?<![^\W_])_')


def markdown(text: object) -> str:
  r"""Escapes HTML, links, pictures and emphasis for GitHub's Markdown.

  >>> markdown('<img src=x> [click](http://x)')
  '&lt;img src=x&gt; \\[click\\](http://x)'
  >>> markdown('_a_ and is_click')
  '\\_a_ and is_click'
  """
  escaped = html.escape(types.one_line(text).translate(_MARKS), quote=False)
  return _OPENS.sub(r'\\_', escaped)


def code(text: object) -> str:
  """Formats text as Markdown code, where no escapes are needed.

  >>> code('a`b')
  "`a'b`"
  """
  return '`' + types.one_line(text).replace('`', "'") + '`'


def legend(text: str) -> str:
  """A label of Matplotlib's, which leaves those with a leading `_` out.

  >>> legend('_a_'), legend('click')
  (' _a_', 'click')
  """
  return f' {text}' if text.startswith('_') else text


def figures():
  """Turns Matplotlib's math mode off; a context manager and decorator."""
  return matplotlib.rc_context({'text.parse_math': False})

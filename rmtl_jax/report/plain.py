"""Escapes text that came from data, so that reports only show it.

Names of tasks, fields and sources, paths and warnings may come from anybody.
"""

from __future__ import annotations

import html
import re

import matplotlib
from matplotlib import font_manager

from rmtl_jax import types

_MARKS = str.maketrans({mark: f'\\{mark}' for mark in '\\`[]|*'})
# An underscore can begin emphasis where no letter or digit stands before it.
_OPENS = re.compile(r'(?<![^\W_])_')
# Fonts of Chinese, Japanese and Korean letters, which Matplotlib's own lacks.
_WIDE_FONTS = (
  *('Noto Sans CJK SC', 'Noto Sans CJK JP', 'Noto Sans CJK KR'),
  *('Noto Sans SC', 'Noto Sans JP', 'Noto Sans KR', 'Source Han Sans SC'),
  *('WenQuanYi Micro Hei', 'WenQuanYi Zen Hei', 'Droid Sans Fallback'),
  *('IPAexGothic', 'IPAGothic', 'TakaoPGothic', 'VL Gothic', 'NanumGothic'),
  *('PingFang SC', 'Hiragino Sans', 'Apple SD Gothic Neo', 'Arial Unicode MS'),
  *('Microsoft YaHei', 'SimHei', 'Yu Gothic', 'Meiryo', 'Malgun Gothic'),
)


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
  """Style of pictures with names from data; a context manager and decorator.

  Matplotlib's math mode is off, and fonts of other scripts that it knows stand
  in where its own has no letter.
  """
  known = set(font_manager.get_font_names())
  wide = [font for font in _WIDE_FONTS if font in known]
  fonts = [*matplotlib.rcParams['font.family'], *wide]
  return matplotlib.rc_context({'text.parse_math': False, 'font.family': fonts})

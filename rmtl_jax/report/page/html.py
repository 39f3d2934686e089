"""Renders a page as one HTML file: no script, no network, no other file."""

from __future__ import annotations

import re

import jinja2
import markupsafe

from rmtl_jax import types
from rmtl_jax.report.page import content, vector


def render(page: content.Page) -> str:
  """Renders the document; everything that comes from data is escaped."""
  environment = jinja2.Environment(
    loader=jinja2.PackageLoader('rmtl_jax.report', 'page'),
    autoescape=True,
    finalize=_one_line,
    undefined=jinja2.StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
    keep_trailing_newline=True,
  )
  environment.filters |= {
    'code': _code,
    'kind': lambda block: type(block).__name__,
    'svg': lambda picture: markupsafe.Markup(vector.inline(picture)),
  }
  return environment.get_template('report.html.jinja').render(page=page)


def _one_line(value: object) -> str:
  """Cleans every expression of the template before it is escaped."""
  if isinstance(value, markupsafe.Markup):
    return value
  return types.one_line(value)


def _code(text: str) -> markupsafe.Markup:
  """Formats code; long names may break after punctuation."""
  escaped = str(markupsafe.escape(types.one_line(text)))
  broken = re.sub('(,|[.:_+=](?=[a-z]))', r'\1<wbr>', escaped)
  return markupsafe.Markup(f'<code>{broken}</code>')

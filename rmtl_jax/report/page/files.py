"""Writes a page: report.html, report.md and pictures/ beside them."""

from __future__ import annotations

import pathlib

from rmtl_jax import durable
from rmtl_jax.report.page import content, html, markdown


def write(page: content.Page, place: pathlib.Path) -> pathlib.Path:
  """Writes a page into a directory, created if missing; returns report.html.

  Raises:
    OSError: it could not be written; names the file.
  """
  with durable.name_errors(place):
    (place / 'pictures').mkdir(parents=True, exist_ok=True)
  for picture in content.pictures(page):
    file = place / 'pictures' / f'{picture.name}.svg'
    durable.write_text(file, picture.svg)
  durable.write_text(place / 'report.md', markdown.render(page))
  durable.write_text(place / 'report.html', html.render(page))
  return place / 'report.html'

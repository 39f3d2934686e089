"""The report of a run or a comparison, as a file."""

from __future__ import annotations

import os
import pathlib

from rmtl_jax import durable
from rmtl_jax.report import comparison_report, pages, run_report


def write_report(
  path: str | os.PathLike[str], output: str | os.PathLike[str] = ''
) -> pathlib.Path:
  """Writes a run or a comparison as one HTML page.

  Args:
    path: RUN or COMPARISON.
    output: the directory of report.html; `path`/report if empty.

  Returns:
    report.html.

  Raises:
    types.InputError: neither of them, or files of another version.
  """
  path = pathlib.Path(path)
  is_comparison = (path / 'results.json').exists()
  page = (comparison_report if is_comparison else run_report).page(path)
  file = pathlib.Path(output or path / 'report') / 'report.html'
  with durable.name_errors(file):
    file.parent.mkdir(parents=True, exist_ok=True)
  durable.write_text(file, pages.html(page))
  return file

"""`rmtl report`: a run or a comparison as Markdown and as one HTML page."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any

from absl import flags

from rmtl_jax import durable
from rmtl_jax.commands import common


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values)
  flags.DEFINE_string(
    'output',
    '',
    'Where report.html, report.md and pictures/ go; WORKDIR/report if not'
    ' given.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'data_dir',
    '',
    "The run's prepared data, where it is no longer where it was trained on.",
    flag_values=values,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  common.require(values, 'workdir')
  common.start_jax(values)
  from rmtl_jax.report import tables
  from rmtl_jax.report.page import content, html, markdown

  path = pathlib.Path(common.value(values, 'workdir'))
  data_dir = common.value(values, 'data_dir')
  page = _page(path, pathlib.Path(data_dir) if data_dir else None)
  output = pathlib.Path(common.value(values, 'output') or path / 'report')
  with durable.name_errors(output):
    (output / 'pictures').mkdir(parents=True, exist_ok=True)
  for picture in content.pictures(page):
    file = output / 'pictures' / f'{picture.name}.svg'
    durable.write_text(file, picture.svg)
  durable.write_text(output / 'report.md', markdown.render(page))
  durable.write_text(output / 'report.html', html.render(page))
  print(
    tables.text_of_paths(
      report=output / 'report.html', markdown=output / 'report.md'
    )
  )
  return 0


def _page(path: pathlib.Path, data_dir: pathlib.Path | None) -> Any:
  """A comparison's where there are its results, else a run's."""
  from rmtl_jax import json_files
  from rmtl_jax.report.comparison import page as comparison_page
  from rmtl_jax.report.run import page as run_page
  from rmtl_jax.results import report_record

  if report_record.is_comparison(path):
    with json_files.parsing(str(path / 'results.json')):
      return comparison_page.build(report_record.comparison(path))
  with json_files.parsing(f'{path / "metrics.json"} or metrics.jsonl'):
    return run_page.build(report_record.gather(path, data_dir))

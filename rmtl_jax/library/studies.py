"""Comparisons, searches and reports with plain arguments.

`rmtl compare`, `rmtl tune` and `rmtl report` call these functions.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import durable
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest_file
from rmtl_jax.runtime import programs, progress
from rmtl_jax.studies import comparing, search_space, tuning

Path = str | os.PathLike[str]


@programs.in_32_bits
def compare(
  path: Path,
  data_dir: Path,
  methods: Sequence[str] = (),
  seeds: Sequence[int] = (),
  config: config_lib.Config | None = None,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
) -> dict[str, Any]:
  """Trains methods x seeds on the same data, with paired tests and controls.

  Runs that exist in the directory are not trained again, so an interrupted call
  can be resumed, and seeds and methods may be added.

  Args:
    path: COMPARISON, created if missing; gets results.json, and
      report/report.html by `write_report`.
    data_dir: prepared data.
    methods: backbones, with a weighting to fine-tune by it: `ple`,
      `ple+critic`, `ple+critic@esmm` (critics of ESMM),
      `ple+critic:weighting.lambda_=0.3` (another setting). The controls of
      weighted ones are added, of backbones alone the first is the control of
      the others. Empty: those of `config.compare`.
    seeds: of the paired runs, 16 for a claim. Empty: those of
      `config.compare`.
    config: settings of every method; None: the recommended ones for the data,
      of its member without ids.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.

  Returns:
    The content of results.json: `methods`, `runs`, `summary`, `differences`,
    `verdicts` and more.

  Raises:
    types.InputError: bad data, methods or settings, or a directory of another
      comparison.
    FloatingPointError: a loss was not finite.
  """
  changes: dict[str, Any] = {}
  if len(methods):
    is_one = isinstance(methods, str)
    changes['methods'] = [methods] if is_one else list(methods)
  if len(seeds):
    changes['seeds'] = np.asarray(seeds).tolist()
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  config = config_values.from_dict({'compare': changes}, config)
  config = config_lib.resolve(config, manifest_file.read(data_dir), True)
  return comparing.compare(config, path, data_dir, live, interrupted)


@programs.in_32_bits
def tune(
  path: Path,
  data_dir: Path,
  search: Sequence[str] = (),
  config: config_lib.Config | None = None,
  live: progress.Progress | None = None,
  interrupted: Callable[[], int] = lambda: 0,
  **options: Any,
) -> dict[str, Any]:
  """Searches settings of stage 1 on validation; the test split is not read.

  An interrupted call resumes: finished trials are not trained again.

  Args:
    path: TUNING, created if missing; gets tuning.json and best.json.
    data_dir: prepared data.
    search: the space, a text per dimension: `SETTING=LOW:HIGH`,
      `SETTING=LOW:HIGH:log` or `SETTING=A|B`. Empty: the default space for the
      data.
    config: the given settings, of one model or of an ensemble, which are the
      first trial; None: the recommended ones for the data.
    live: where progress goes.
    interrupted: a signal's number once one has arrived, else 0.
    options: as the flags of `rmtl tune`: `trials`, `minutes`, `seeds`,
      `confirm`.

  Returns:
    The content of tuning.json: `trials`, `confirmed`, `chosen` (settings) and
    more.

  Raises:
    types.InputError: Optuna is not installed, or bad data or settings.
    FloatingPointError: a loss with the given settings was not finite.
  """
  path, data_dir = pathlib.Path(path), pathlib.Path(data_dir)
  wanted = tuning.Options((), **options)
  wanted = wanted._replace(seeds=tuple(wanted.seeds))
  manifest = manifest_file.read(data_dir)
  config = config_values.validate(config or config_lib.Config())
  config = config_lib.resolve(config, manifest)
  texts = (search,) if isinstance(search, str) else search
  if not texts:
    wanted.check()
    texts = search_space.defaults(config, manifest)
  space = tuple(search_space.parse(text, config) for text in texts)
  wanted = wanted._replace(space=space)
  wanted.check()
  return tuning.tune(config, wanted, path, data_dir, live, interrupted)


def write_report(path: Path, output: Path = '') -> pathlib.Path:
  """Writes a run or a comparison as one HTML page.

  Args:
    path: RUN or COMPARISON.
    output: the directory of report.html; `path`/report if empty.

  Returns:
    report.html.

  Raises:
    types.InputError: neither of them, or files of another version.
  """
  from rmtl_jax.report import comparison_report, pages, run_report

  path = pathlib.Path(path)
  is_comparison = comparison_report.is_there(path)
  page = (comparison_report if is_comparison else run_report).page(path)
  file = pathlib.Path(output or path / 'report') / 'report.html'
  with durable.name_errors(file):
    file.parent.mkdir(parents=True, exist_ok=True)
  durable.write_text(file, pages.html(page))
  return file

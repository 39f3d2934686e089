"""Writes a trained model as StableHLO, with all that serving needs.

OUT/export.json       the model's record; bytes and SHA-256 of every other file
OUT/model.bin         the network as a serialized `jax.export.Exported`
OUT/parameters/*.npy  its parameters, one array each, in the order of calling
OUT/manifest.json     fields, tasks, bin edges, normalisation, the log's schema
OUT/vocabulary/       values of the categorical fields

The exported function is the plain forward pass of the network. The first
layer's look-up of distinct categories is left out, as their number depends on
the values.
`rmtl_jax.serving.exported` serves the directory.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import export as jax_export

import rmtl_jax
from rmtl_jax import durable, extras, partial, types
from rmtl_jax.data import reading
from rmtl_jax.evaluation import calibration, metrics
from rmtl_jax.runtime import programs, writers
from rmtl_jax.serving import exported, predictor
from rmtl_jax.serving.export import program
from rmtl_jax.training import models as models_lib
from rmtl_jax.updates import forward

PLATFORMS = ('cpu', 'cuda', 'tpu')


@programs.in_32_bits
def export(
  scorer: predictor.Predictor,
  output: pathlib.Path,
) -> dict[str, Any]:
  """Writes a directory that serves without the run; returns its export.json.

  Args:
    scorer: the run's stage to export.
    output: OUT; created, all of it or nothing.

  Raises:
    types.InputError: the output is there and not empty or can't be written, or
      flatbuffers is not installed.
  """
  extras.require('flatbuffers', 'rmtl export')
  _check_target(output)
  target = pathlib.Path(os.path.realpath(output))
  with partial.staging_directory(target, str(output)) as directory:
    record = _write(scorer, directory)
    _check_target(output)
    partial.move(directory, target)
  return record


def _check_target(output: pathlib.Path) -> None:
  if output.exists() and not output.is_dir():
    raise types.InputError(f'{output}: is a file, expected a directory')
  if output.is_dir() and any(output.iterdir()):
    raise types.InputError(f'{output}: is not empty; name a new directory')


def _write(
  scorer: predictor.Predictor, directory: pathlib.Path
) -> dict[str, Any]:
  parameters = _write_parameters(scorer.params, directory)
  program = directory / exported.MODEL
  with durable.name_errors(program):
    program.write_bytes(serialize(scorer))
  run = scorer.run.path
  durable.copy_file(run / 'manifest.json', directory / 'manifest.json')
  durable.copy_tree(run / 'vocabulary', directory / 'vocabulary')
  record = {
    'format_version': exported.FORMAT_VERSION,
    'tasks': list(scorer.tasks),
    'stage': scorer.stage,
    'backbone': scorer.run.config.backbone,
    'ensemble': scorer.run.config.ensemble,
    'platforms': list(PLATFORMS),
    'ignored': sorted(scorer.ignored),
    'inputs': _described(scorer),
    'parameters': parameters,
    'versions': {'rmtl-jax': rmtl_jax.__version__, 'jax': jax.__version__},
    'files': {
      str(path.relative_to(directory).as_posix()): digest(path)
      for path in sorted(directory.rglob('*'))
      if path.is_file()
    },
  }
  writers.write_json(directory / exported.RECORD, record)
  return record


def forward_pass(scorer: predictor.Predictor) -> Callable[..., jax.Array]:
  """The forward pass as a function of arrays.

  Of (list of parameters, categorical i32[b, F], multi_valued i32[b, M], numeric
  f32[b, N]) to probabilities f32[b, K].
  """
  spec = scorer.manifest.feature_spec()
  plain = scorer.run.config.with_network(first_layer='plain')
  network = models_lib.Models(spec).predictor(plain)
  tree = jax.tree.structure(scorer.params)
  apply_maps = _calibration(scorer.maps, scorer.tasks)

  def calibrate(probabilities):
    # Sampling first: the maps are of probabilities of the whole log.
    if spec.sampling is not None:
      probabilities = spec.sampling.correct(probabilities)
    return apply_maps(probabilities)

  def rows(leaves, *inputs):
    params = jax.tree.unflatten(tree, leaves)
    # One lane: a batch of any size costs no padding.
    lane = types.Inputs(*(x[None] for x in inputs))
    return calibrate(forward.predictions(network, params, lane)[0])

  return rows


def serialize(scorer: predictor.Predictor) -> bytes:
  """The forward pass as a serialized `jax.export.Exported`.

  `forward_pass` with a symbolic `b`.
  """
  shapes = [
    jax.ShapeDtypeStruct(x.shape, x.dtype)
    for x in jax.tree.leaves(scorer.params)
  ]
  jitted = jax.jit(forward_pass(scorer), keep_unused=True)
  make = jax_export.export(jitted, platforms=PLATFORMS)
  with _without_paths():
    made = make(shapes, *_input_shapes(scorer))
  try:
    program.check(made)
  except program.ProgramError as error:  # of a backbone of one's own
    raise types.InputError(
      f'backbone {scorer.run.config.backbone}: its program {error}'
    ) from None
  return bytes(made.serialize())


@contextlib.contextmanager
def _without_paths() -> Iterator[None]:
  """Traces without the paths and calls of this machine, which JAX records."""
  wanted = {
    'jax_include_full_tracebacks_in_locations': False,
    'jax_hlo_source_file_canonicalization_regex': '.*',
  }
  before = {name: getattr(jax.config, name) for name in wanted}
  try:
    for name, value in wanted.items():
      jax.config.update(name, value)
    yield
  finally:
    for name, value in before.items():
      jax.config.update(name, value)


def _input_shapes(scorer: predictor.Predictor) -> list[jax.ShapeDtypeStruct]:
  """Shapes and types of the inputs, with a symbolic leading dimension."""
  lead = jax_export.symbolic_shape('b')
  return [
    jax.ShapeDtypeStruct((*lead, width), dtype)
    for width, dtype in scorer.manifest.feature_spec().input_widths
  ]


def _described(scorer: predictor.Predictor) -> list[dict[str, Any]]:
  return [
    {
      'name': name,
      'shape': [str(n) if not isinstance(n, int) else n for n in shape.shape],
      'dtype': np.dtype(shape.dtype).name,
    }
    for name, shape in zip(
      types.Inputs._fields, _input_shapes(scorer), strict=False
    )
  ]


def _calibration(
  maps: Mapping[str, calibration.Platt], tasks: tuple[str, ...]
) -> Callable[[jax.Array], jax.Array]:
  """The calibration of predictions f32[..., K] as a JAX function."""

  def apply(predictions: jax.Array) -> jax.Array:
    columns = []
    for k, task in enumerate(tasks):
      p, fitted = predictions[..., k], maps.get(task)
      if fitted not in (None, calibration.Platt()):
        margin = metrics.PROBABILITY_MARGIN
        inside = jnp.clip(p, margin, 1.0 - margin)
        z = jnp.log(inside) - jnp.log1p(-inside)
        p = jax.nn.sigmoid(fitted.slope * z + fitted.intercept)
      columns.append(p)
    return jnp.stack(columns, axis=-1)

  return apply if maps else lambda predictions: predictions


def _write_parameters(
  params: Any, directory: pathlib.Path
) -> list[dict[str, Any]]:
  """Writes every array apart from the program, as that has a size limit."""
  (directory / exported.PARAMETERS).mkdir()
  records = []
  for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
    name = '.'.join(str(getattr(key, 'key', key)) for key in path)
    file = f'{exported.PARAMETERS}/{name}.npy'
    values = np.asarray(leaf)
    # Opened for reading too, numpy leaves the writing to Python, which knows
    # why it fails.
    with (
      durable.name_errors(directory / file),
      (directory / file).open('w+b') as opened,
    ):
      np.save(opened, values, allow_pickle=False)
    records.append(
      {'file': file, 'shape': list(values.shape), 'dtype': values.dtype.name}
    )
  return records


def digest(path: pathlib.Path) -> dict[str, Any]:
  """Bytes and SHA-256 of a file, as export.json records them."""
  return {'bytes': path.stat().st_size, 'sha256': reading.sha256(path)}

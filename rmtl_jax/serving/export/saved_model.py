"""The network as a TensorFlow SavedModel, as TF Serving takes it.

The directory has a numbered version, `1`, and one signature,
`serving_default`: from encoded inputs by name (export.json: inputs) to
`probabilities`. TensorFlow calls the same StableHLO, by its operation
XlaCallModule, on the CPU or on a GPU.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import extras

DIRECTORY = 'saved_model'
_VERSION = '1'
_PLATFORMS = ('cpu', 'cuda')


def require() -> Any:
  """Imports TensorFlow, without its remarks on the machine.

  Raises:
    types.InputError: it is not installed.
  """
  os.environ.setdefault('TF_CPP_MIN_LOG_LEVEL', '2')
  return extras.require('tensorflow', 'rmtl export --format=saved_model')


def write(
  function: Callable[..., jax.Array],
  parameters: Sequence[np.ndarray],
  inputs: Sequence[Mapping[str, Any]],
  directory: pathlib.Path,
) -> None:
  """Writes DIRECTORY/1.

  Args:
    function: of (parameters, *inputs), to probabilities.
    parameters: arrays, which become variables.
    inputs: `name`, `shape` (a text for each symbolic dimension) and `dtype` of
      each, as export.json records them.
  """
  tf = require()
  from jax.experimental import jax2tf

  shapes = [f'({", ".join(map(str, one["shape"]))})' for one in inputs]
  converted = jax2tf.convert(
    function,
    polymorphic_shapes=[None, *shapes],
    with_gradient=False,
    native_serialization_platforms=_PLATFORMS,
  )
  specs = [
    tf.TensorSpec(
      [None if isinstance(n, str) else n for n in one['shape']],
      one['dtype'],
      one['name'],
    )
    for one in inputs
  ]
  module = tf.Module()
  # Attributes are what a SavedModel keeps.
  module.parameters = [tf.Variable(values) for values in parameters]
  module.predict = tf.function(
    lambda *given: {'probabilities': converted(module.parameters, *given)},
    autograph=False,
    input_signature=specs,
  )
  tf.saved_model.save(
    module,
    str(directory / _VERSION),
    signatures={'serving_default': module.predict},
  )

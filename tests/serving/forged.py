"""Exported models that somebody has changed, digests and all."""

from __future__ import annotations

import dataclasses
import json
import pathlib
from collections.abc import Callable

import jax
import jax.export
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.extend.mlir.dialects import stablehlo
from jax.interpreters import mlir

from rmtl_jax.serving.export import export_writer


def with_text(data: bytes, change: Callable[[str], str]) -> bytes:
  """A serialized program with other StableHLO.

  Args:
    data: what `jax.export.Exported.serialize` gave.
    change: the text of the module -> another one.

  Raises:
    ValueError: the text is no module.
  """
  function = jax.export.deserialize(bytearray(data))
  text = change(function.mlir_module())
  week = stablehlo.StablehloCompatibilityRequirement.WEEK_4
  version = stablehlo.get_version_from_compatibility_requirement(week)
  with mlir.make_ir_context():
    try:
      module = ir.Module.parse(text)
    except ir.MLIRError as error:
      raise ValueError(str(error)) from None
    program = jax_mlir.serialize_portable_artifact(module, version, False)
  changed = dataclasses.replace(function, mlir_module_serialized=program)
  return bytes(changed.serialize())


def seal(directory: pathlib.Path) -> None:
  """Records what the files are now; leaves a record that is none."""
  path = directory / 'export.json'
  try:
    record = json.loads(path.read_bytes())
    for name in record['files']:
      record['files'][name] = export_writer.digest(directory / name)
  except (ValueError, LookupError, TypeError, AttributeError, OSError):
    return
  path.write_text(json.dumps(record))

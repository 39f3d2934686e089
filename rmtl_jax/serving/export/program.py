"""Checks exported programs before anything compiles them.

A program can come from anybody. Custom calls run functions that the process has
registered, with pointers of the program's choice; other operations talk to
devices and hosts. So only listed operations are allowed, which compute tensors
from tensors. Digests don't help here: a forger can change them too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
from jax import export as jax_export
from jax.extend import mlir as jax_mlir
from jax.extend.mlir import ir
from jax.interpreters import mlir

from rmtl_jax import types

# Operations of StableHLO.
_NAMES = """
  abs add and atan2 broadcast_in_dim case cbrt ceil clamp compare concatenate
  constant convert cosine divide dot_general dynamic_broadcast_in_dim
  dynamic_gather dynamic_iota dynamic_pad dynamic_reshape dynamic_slice
  dynamic_update_slice exponential exponential_minus_one floor gather
  get_dimension_size if iota is_finite log log_plus_one logistic maximum minimum
  multiply negate not or pad power real_dynamic_slice reduce reduce_window
  remainder reshape return reverse round_nearest_afz round_nearest_even rsqrt
  scatter select shift_left shift_right_arithmetic shift_right_logical sign sine
  slice sort sqrt subtract tanh transpose while xor
"""
OPERATIONS = frozenset(
  {
    *(f'stablehlo.{name}' for name in _NAMES.split()),
    *('builtin.module', 'func.call', 'func.func', 'func.return'),
  }
)
# JAX's check of symbolic sizes, which never reaches a device.
CUSTOM_CALLS = frozenset({'shape_assertion'})


class ProgramError(Exception):
  """A program is refused; the message has the reason."""


def read(data: bytes, where: str) -> jax_export.Exported:
  """Deserializes a program that computes and does nothing else.

  Raises:
    types.InputError: not such a program, or one with other operations.
  """
  try:
    function = jax_export.deserialize(bytearray(data))
    check(function)
  except ProgramError as error:
    raise types.InputError(f'{where}: {error}') from None
  # JAX and MLIR report unreadable bytes by many types of errors.
  except Exception as error:
    first = types.first_line(error)[:200]
    raise types.InputError(
      f'{where}: not readable: {type(error).__name__} {first}'
    ) from None
  return function


def check(function: jax_export.Exported) -> None:
  """Checks every operation of a program.

  Raises:
    ProgramError: one that is not on the list, or a program for several devices.
  """
  if function.nr_devices != 1:
    raise ProgramError(f'is for {function.nr_devices} devices, expected 1')
  if function.ordered_effects or function.unordered_effects:
    raise ProgramError('has side effects')
  with mlir.make_ir_context():
    module = jax_mlir.deserialize_portable_artifact(
      function.mlir_module_serialized
    )
    waiting = [module.operation]
    while waiting:
      operation = waiting.pop()
      _check_operation(operation)
      waiting += [
        inner.operation
        for region in operation.regions
        for block in region
        for inner in block
      ]


def _check_operation(operation: Any) -> None:
  name = operation.name
  if name == 'stablehlo.custom_call':
    target = ir.StringAttr(operation.attributes['call_target_name']).value
    if target not in CUSTOM_CALLS or len(operation.results):
      raise ProgramError(
        f'has the custom call {target!r:.80}, which is not run'
      )
  elif name not in OPERATIONS:
    raise ProgramError(f'has the operation {name!r:.80}, which is not run')


def check_signature(
  function: jax_export.Exported,
  parameters: Sequence[tuple[tuple[int, ...], str]],
  widths: Sequence[tuple[int, str]],
  tasks: int,
) -> None:
  """Compares a program's arguments and results with the model's.

  Args:
    parameters: shape and dtype of each.
    widths: size of the last dimension and dtype of each of the features'
      inputs.
    tasks: K.

  Raises:
    ProgramError: they differ.
  """
  count = len(parameters)
  arguments = [(aval.shape, aval.dtype.name) for aval in function.in_avals]
  tree = jax.tree.structure(
    (([0] * count, *[0] * (len(arguments) - count)), {})
  )
  if function.in_tree != tree or len(arguments) != count + len(widths):
    raise ProgramError(f'does not take {count} parameters and the inputs')
  if arguments[:count] != list(parameters):
    raise ProgramError('takes other parameters than those of export.json')
  rows = str(arguments[count][0][:1])
  for (shape, dtype), wanted in zip(arguments[count:], widths, strict=True):
    if len(shape) != 2 or (shape[1], dtype) != wanted:
      raise ProgramError(
        f'takes an input {dtype}{list(shape)}, which there is not'
      )
    if str(shape[:1]) != rows or isinstance(shape[0], int):
      raise ProgramError('does not take any number of rows')
  outputs = [(aval.shape, aval.dtype.name) for aval in function.out_avals]
  if function.out_tree != jax.tree.structure(0) or len(outputs) != 1:
    raise ProgramError('gives other values than probabilities')
  shape, dtype = outputs[0]
  if (str(shape[:1]), shape[1:], dtype) != (rows, (tasks,), 'float32'):
    raise ProgramError(f'gives {dtype}{list(shape)}, expected {tasks} tasks')

"""Checks exported programs before anything compiles them.

A program can come from anybody. Custom calls run functions that the process has
registered, with pointers of the program's choice; other operations talk to
devices and hosts. So only listed operations are allowed, which compute tensors
from tensors. Digests don't help here: a forger can change them too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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
# Attributes of dialects, on which other parts of the compiler act.
_ATTRIBUTES = frozenset(
  {
    'jax.global_constant',
    'jax.result_info',
    'jax.uses_shape_polymorphism',
    'mhlo.num_partitions',
    'mhlo.num_replicas',
  }
)
_ELEMENTS = {
  'bool': 'i1',
  'int8': 'i8',
  'int32': 'i32',
  'int64': 'i64',
  'float16': 'f16',
  'bfloat16': 'bf16',
  'float32': 'f32',
  'float64': 'f64',
}
# Nesting of regions and of calls; real exports have less than ten.
_DEEPEST = 100


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
    ProgramError: one that is not on the list, or a program that is not what its
      record says.
  """
  if function.nr_devices != 1:
    raise ProgramError(f'is for {function.nr_devices} devices, expected 1')
  if function.ordered_effects or function.unordered_effects:
    raise ProgramError('has side effects')
  if function.module_kept_var_idx != tuple(range(len(function.in_avals))):
    raise ProgramError('leaves arguments out')
  with mlir.make_ir_context():
    module = jax_mlir.deserialize_portable_artifact(
      function.mlir_module_serialized
    )
    calls: dict[str, set[str]] = {}
    for owner, operation in _operations(module.operation):
      _check_operation(operation)
      callees = calls.setdefault(owner, set())
      if operation.name == 'func.call':
        callees.add(ir.FlatSymbolRefAttr(operation.attributes['callee']).value)
    _check_depth(calls)
    _check_main(module, function)


def _operations(root: Any) -> Iterator[tuple[str, Any]]:
  """(name of the function, operation) for all operations."""
  waiting = [('', root, 0)]
  while waiting:
    owner, operation, depth = waiting.pop()
    if depth > _DEEPEST:
      raise ProgramError(f'has operations within operations, {depth} deep')
    if operation.name == 'func.func':
      owner = ir.StringAttr(operation.attributes['sym_name']).value
    yield owner, operation
    waiting += [
      (owner, inner.operation, depth + 1)
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
  for attribute in _attribute_names(operation.attributes):
    if '.' in attribute and attribute not in _ATTRIBUTES:
      raise ProgramError(
        f'has the attribute {attribute!r:.80}, expected none such'
      )
  if name == 'func.func':
    for kind in ('arg_attrs', 'res_attrs'):
      if kind in operation.attributes:
        for one in ir.ArrayAttr(operation.attributes[kind]):
          for attribute in _attribute_names(ir.DictAttr(one)):
            if attribute not in _ATTRIBUTES:
              raise ProgramError(
                f'has the attribute {attribute!r:.80} of a value'
              )


def _attribute_names(attributes: Any) -> list[str]:
  """Names of attributes; JAX versions iterate over names or over pairs."""
  return [getattr(entry, 'name', entry) for entry in attributes]


def _check_depth(calls: dict[str, set[str]]) -> None:
  """Refuses functions that call themselves, directly or not."""
  depth = dict.fromkeys(calls, 0)
  for _ in range(_DEEPEST):
    deeper = {
      name: max((1 + depth.get(callee, 0) for callee in callees), default=0)
      for name, callees in calls.items()
    }
    if deeper == depth:
      return
    depth = deeper
  raise ProgramError('has functions that call themselves')


def _check_main(module: Any, function: jax_export.Exported) -> None:
  """Compares the types of `main` with those of the program's record."""
  mains = [
    operation
    for operation in module.body.operations
    if ir.StringAttr(operation.operation.attributes['sym_name']).value == 'main'
  ]
  if len(mains) != 1:
    raise ProgramError('has no function main')
  attribute = mains[0].operation.attributes['function_type']
  kind = ir.FunctionType(ir.TypeAttr(attribute).value)
  inputs = [_type(aval) for aval in function.in_avals]
  if len(function.platforms) > 1:
    inputs.insert(0, 'tensor<i32>')  # which of them it runs on
  expected = inputs, [_type(aval) for aval in function.out_avals]
  found = [str(t) for t in kind.inputs], [str(t) for t in kind.results]
  if found != expected:
    raise ProgramError('takes or gives other arrays than its record says')


def _type(aval: Any) -> str:
  """An array's type as MLIR writes it."""
  if aval.dtype.name not in _ELEMENTS:
    raise ProgramError(f'has arrays of {aval.dtype.name}')
  sizes = [str(n) if isinstance(n, int) else '?' for n in aval.shape]
  return f'tensor<{"x".join([*sizes, _ELEMENTS[aval.dtype.name]])}>'


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

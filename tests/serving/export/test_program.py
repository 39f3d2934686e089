"""Programs that are not run, made of one that is."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import pytest
from jax import export as jax_export

from rmtl_jax import types
from rmtl_jax.serving.export import program
from tests.serving import forged

pytest.importorskip('flatbuffers')
PLATFORMS = ('cpu', 'cuda', 'tpu')


def exported(function, *shapes, **options):
  forms = [jax.ShapeDtypeStruct(*shape) for shape in shapes]
  make = jax_export.export(
    jax.jit(function, keep_unused=True), platforms=PLATFORMS, **options
  )
  return make(*forms)


@pytest.fixture(scope='module')
def sound():
  """f(x) = -x W of f32[b, 3], as bytes."""
  rows = jax_export.symbolic_shape('b')
  return bytes(
    exported(
      lambda w, x: -(x @ w),
      ((3, 2), jnp.float32),
      ((*rows, 3), jnp.float32),
    ).serialize()
  )


def test_a_sound_program_computes(sound):
  function = program.read(sound, 'model.bin')
  found = function.call(jnp.ones((3, 2)), jnp.ones((5, 3)))
  assert found.tolist() == [[-3.0, -3.0]] * 5
  # Its check of sizes is a custom call, the only one that is allowed.
  assert 'custom_call @shape_assertion' in function.mlir_module()


@pytest.mark.parametrize(
  'activation', [jax.nn.gelu, jax.nn.softmax, jax.nn.elu, jax.nn.softplus]
)
def test_usual_networks_are_run(activation):
  program.check(
    exported(lambda x: activation(jnp.cumsum(x, 1)), ((4, 3), jnp.float32))
  )


def negated(text):
  """The line that negates: (operand, type)."""
  line = next(x for x in text.splitlines() if 'stablehlo.negate' in x)
  name, _, rest = line.strip().partition(' = stablehlo.negate ')
  operand, _, kind = rest.partition(' : ')
  return name, line, operand, kind.split(' loc(')[0]


def with_line(template):
  def change(text):
    name, line, operand, kind = negated(text)
    new = template.format(name=name, operand=operand, kind=kind)
    return text.replace(line, new)

  return change


CALL = (
  '{name} = stablehlo.custom_call @{target}({{operand}})'
  ' : ({{kind}}) -> {{kind}}'
)


def calling(target):
  return with_line(CALL.format(name='{name}', target=target))


FORGED = {
  'a kernel': (
    calling('lapack_sgetrf_ffi'),
    "the custom call 'lapack_sgetrf_ffi'",
  ),
  'outfeed': (
    with_line(
      '%tok = stablehlo.create_token : !stablehlo.token\n'
      '%out = "stablehlo.outfeed"({operand}, %tok) : ({kind},'
      ' !stablehlo.token) -> !stablehlo.token\n'
      '{name} = stablehlo.negate {operand} : {kind}'
    ),
    "operation 'stablehlo.",
  ),
}


@pytest.mark.parametrize('name', FORGED)
def test_other_operations_are_refused(sound, name):
  change, message = FORGED[name]
  data = forged.with_text(sound, change)
  with pytest.raises(types.InputError, match=r'^model\.bin: [^\n]*\Z') as error:
    program.read(data, 'model.bin')
  assert message in str(error.value)


@pytest.mark.parametrize('end', [0, 9, 400, -200])
def test_what_is_no_program(sound, end):
  with pytest.raises(types.InputError, match=r'^m: not readable[^\n]*\Z'):
    program.read(sound[:end], 'm')
  with pytest.raises(types.InputError, match=r'^m: [^\n]*\Z'):
    program.read(b'\xff' * 64 + sound[end:], 'm')


def served(slots=4, tasks=2, rows='b'):
  """A program with the signature of an exported model."""
  lead = jax_export.symbolic_shape(rows)
  forms = [
    jax.ShapeDtypeStruct((*lead, 3), jnp.int32),
    jax.ShapeDtypeStruct((*lead, slots), jnp.int32),
    jax.ShapeDtypeStruct((*lead, 2), jnp.float32),
  ]

  def apply(weights, *inputs):
    columns = [inputs[2][..., :1]] * tasks
    return jnp.concatenate(columns, axis=-1) + weights[0].sum()

  jitted = jax.jit(apply, keep_unused=True)
  make = jax_export.export(jitted, platforms=PLATFORMS)
  return make([jax.ShapeDtypeStruct((3, 2), jnp.float32)], *forms)


WEIGHTS = [((3, 2), 'float32')]
WIDTHS = [(3, 'int32'), (4, 'int32'), (2, 'float32')]


def test_signatures():
  function = served()
  program.check(function)
  program.check_signature(function, WEIGHTS, WIDTHS, 2)
  for changes, message in (
    ({'parameters': [((3, 3), 'float32')]}, 'other parameters'),
    ({'parameters': [*WEIGHTS, *WEIGHTS]}, 'does not take 2 parameters'),
    ({'widths': [*WIDTHS[:2], (9, 'float32')]}, 'takes an input float32'),
    ({'tasks': 3}, 'expected 3 tasks'),
  ):
    given = {
      'parameters': WEIGHTS,
      'widths': WIDTHS,
      'tasks': 2,
    }
    with pytest.raises(program.ProgramError, match=message):
      program.check_signature(function, **{**given, **changes})


def test_programs_of_a_fixed_number_of_rows_are_none():
  with pytest.raises(program.ProgramError, match='any number of rows'):
    program.check_signature(served(rows='8'), WEIGHTS, WIDTHS, 2)

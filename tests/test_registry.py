"""Registries: what is found, what is refused, what is imported when."""

import dataclasses
import subprocess
import sys

import pytest

from rmtl_jax import registry, types


@dataclasses.dataclass(frozen=True)
class _Sauce:
  name: str
  heat: int = 0


@pytest.fixture
def sauces():
  return registry.Registry('sauce', [_Sauce('salsa', 2), _Sauce('mole', 1)])


def test_a_taken_name_is_refused_and_keeps_its_record(sauces):
  with pytest.raises(
    types.InputError, match=r"^sauce: 'salsa' exists already\Z"
  ):
    sauces.register(_Sauce('salsa', 9))
  assert sauces.find('salsa').heat == 2


@pytest.mark.parametrize(
  ('name', 'line'),
  [
    ('mol', "sauce: 'mol' is not one of salsa, mole (did you mean mole?)"),
    ('xyz', "sauce: 'xyz' is not one of salsa, mole"),
    ('a\nb', "sauce: 'a\\nb' is not one of salsa, mole"),
  ],
)
def test_an_unknown_name_is_one_line_with_near_matches(sauces, name, line):
  with pytest.raises(types.InputError) as error:
    sauces.find(name)
  assert str(error.value) == line


def test_lazy_imports_when_called_and_adds_its_arguments():
  code = (
    'import sys; from rmtl_jax import registry;'
    "make = registry.lazy('fractions', 'Fraction', denominator=4);"
    "before = 'fractions' in sys.modules; print(before, make(numerator=3))"
  )
  found = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert found.stdout == 'False 3/4\n'

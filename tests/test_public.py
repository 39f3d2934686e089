"""What `rmtl_jax` exports: found, typed, and imported when it is used."""

import ast
import importlib
import inspect
import pathlib
import subprocess
import sys

import pytest

import rmtl_jax

_TREE = ast.parse(pathlib.Path(rmtl_jax.__file__).read_text(encoding='utf-8'))


def _typed() -> dict[str, tuple[str, str]]:
  """{public name: (module, name there)} as type checkers read it."""
  block = next(node for node in _TREE.body if isinstance(node, ast.If))
  assert ast.unparse(block.test) == 'TYPE_CHECKING'
  return {
    alias.asname or alias.name: (str(node.module), alias.name)
    for node in block.body
    if isinstance(node, ast.ImportFrom)
    for alias in node.names
  }


def test_type_checkers_see_every_public_name():
  assert {'load', *_typed()} == set(rmtl_jax.__all__)
  assert len(rmtl_jax.__all__) == len(set(rmtl_jax.__all__))
  assert set(rmtl_jax.__all__) <= set(dir(rmtl_jax))


def test_names_are_what_type_checkers_take_them_for():
  for name, (module, there) in _typed().items():
    whole = importlib.import_module(module)
    try:
      expected = getattr(whole, there)
    except AttributeError:
      expected = importlib.import_module(f'{module}.{there}')
    assert getattr(rmtl_jax, name) is expected
    assert inspect.getdoc(expected)


def test_unknown_names_are_attribute_errors():
  with pytest.raises(AttributeError, match="'rmtl_jax' has no attribute 'x'"):
    rmtl_jax.x  # noqa: B018


def test_importing_the_package_imports_nothing_else():
  code = (
    'import sys, rmtl_jax; rmtl_jax.__all__; dir(rmtl_jax);'
    'heavy = {"jax", "flax", "optax", "orbax", "duckdb", "numpy"};'
    'print(sorted(heavy & {name.split(".")[0] for name in sys.modules}))'
  )
  found = subprocess.run(
    [sys.executable, '-c', code], capture_output=True, text=True, check=True
  )
  assert found.stdout == '[]\n'

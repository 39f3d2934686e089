"""Packages that not every installation has: the one line that says which."""

from __future__ import annotations

import importlib
from typing import Any

from rmtl_jax import types

# The extra of pyproject.toml that brings a package; of '' every installation
# has it, unless it was damaged.
EXTRAS = {
  'optuna': 'tune',
  'flatbuffers': 'export',
  'jupytext': 'notebooks',
  'nbclient': 'notebooks',
  'ipykernel': 'notebooks',
  'matplotlib': '',
  'jinja2': '',
  'tensorboardX': '',
  'rich': '',
  'duckdb': '',
  'pyarrow': '',
}


def require(package: str, what: str) -> Any:
  """The package, imported.

  Args:
    package: one of EXTRAS.
    what: what needs it, for the error.

  Raises:
    types.InputError: it is not installed; says how to install it.
    KeyError: it is not one of EXTRAS.
  """
  EXTRAS[package]
  try:
    return importlib.import_module(package)
  except ImportError:
    raise types.InputError(f'{what} needs {missing(package)}') from None


def missing(package: str) -> str | None:
  """What to do about a package that is not installed, or None.

  >>> missing('optuna.samplers')
  "the package optuna: pip install 'rmtl-jax[tune]'"
  """
  name = package.partition('.')[0]
  if name not in EXTRAS:
    return None
  extra = f"'rmtl-jax[{EXTRAS[name]}]'" if EXTRAS[name] else 'rmtl-jax'
  return f'the package {name}: pip install {extra}'

"""Packages that not every installation has: the one line that says which."""

from __future__ import annotations

import importlib
from typing import Any

from rmtl_jax import types

# Those that an extra of pyproject.toml brings, and those that every
# installation has unless it was damaged.
PACKAGES = (
  *('optuna', 'flatbuffers', 'jupytext', 'nbclient', 'ipykernel'),
  *('matplotlib', 'jinja2', 'tensorboardX', 'rich', 'duckdb', 'pyarrow'),
)


def require(package: str, what: str) -> Any:
  """The package, imported.

  Args:
    package: one of PACKAGES.
    what: what needs it, for the error.

  Raises:
    types.InputError: it is not installed; says how to install it.
    ValueError: it is not one of PACKAGES.
  """
  if package not in PACKAGES:
    raise ValueError(f'{package!r} is not one of PACKAGES')
  try:
    return importlib.import_module(package)
  except ImportError:
    raise types.InputError(f'{what} needs {missing(package)}') from None


def missing(package: str) -> str | None:
  """What to do about a package that is not installed, or None.

  >>> missing('optuna.samplers')
  'the package optuna: pip install optuna'
  """
  name = package.partition('.')[0]
  if name not in PACKAGES:
    return None
  return f'the package {name}: pip install {name}'

"""Optional packages: importing them, or one line on how to install them."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from rmtl_jax import types

# Packages of the extras in pyproject.toml, and required ones that a damaged
# installation may lack.
PACKAGES = (
  *('optuna', 'flatbuffers', 'jupytext', 'nbclient', 'ipykernel'),
  *('lightgbm', 'matplotlib', 'jinja2', 'tensorboardX', 'rich', 'duckdb'),
  *('pyarrow', 'mlflow', 'wandb', 'gymnasium'),
  *('starlette', 'uvicorn', 'prometheus_client'),
)


def require(package: str, what: str) -> Any:
  """Imports a package.

  Args:
    package: one of PACKAGES.
    what: the command or feature that needs it, for the error.

  Raises:
    types.InputError: it is not installed, or lacks a system library; says how
      to install it.
    ValueError: it is not one of PACKAGES.
  """
  if package not in PACKAGES:
    raise ValueError(f'{package!r} is not one of PACKAGES')
  try:
    return importlib.import_module(package)
  except ImportError:
    raise types.InputError(f'{what} needs {missing(package)}') from None
  except OSError as error:  # a system library, as LightGBM's libgomp.so.1
    line = types.first_line(error)
    raise types.InputError(f'{what} needs {package}: {line}') from None


@functools.cache
def unavailable(package: str) -> str:
  """Why a package of PACKAGES can't be imported, '' where it can."""
  try:
    require(package, '')
  except types.InputError as error:
    return str(error).removeprefix(' needs ')
  return ''


def missing(package: str) -> str | None:
  """How to install a package of PACKAGES; None for any other.

  >>> missing('optuna.samplers')
  'the package optuna: pip install optuna'
  """
  name = package.partition('.')[0]
  if name not in PACKAGES:
    return None
  return f'the package {name}: pip install {name}'

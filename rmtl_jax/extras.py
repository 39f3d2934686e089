"""Optional packages: importing them, or one line on how to install them."""

from __future__ import annotations

import functools
import importlib
from typing import Any

from rmtl_jax import types

# The extra in pyproject.toml that a package is of; '' of those that are always
# required, which a damaged installation may lack.
EXTRAS = {
  **dict.fromkeys(('jupytext', 'nbclient', 'ipykernel'), 'notebooks'),
  **dict.fromkeys(('starlette', 'uvicorn', 'prometheus_client'), 'serve'),
  'flatbuffers': 'export',
  'gymnasium': 'environment',
  'lightgbm': 'trees',
  'mlflow': 'mlflow',
  'optuna': 'tune',
  'wandb': 'wandb',
  **dict.fromkeys(
    ('matplotlib', 'jinja2', 'tensorboardX', 'rich', 'duckdb', 'pyarrow'), ''
  ),
}


def require(package: str, what: str) -> Any:
  """Imports a package of EXTRAS.

  Args:
    what: the command or feature that needs it, for the error.

  Raises:
    types.InputError: it is not installed, or lacks a system library; says how
      to install it.
  """
  try:
    return importlib.import_module(package)
  except ImportError:
    raise types.InputError(f'{what} needs {missing(package)}') from None
  except OSError as error:  # a system library, as LightGBM's libgomp.so.1
    line = types.first_line(error)
    raise types.InputError(f'{what} needs {package}: {line}') from None


@functools.cache
def unavailable(package: str) -> str:
  """Why a package of EXTRAS can't be imported, '' where it can."""
  try:
    require(package, '')
  except types.InputError as error:
    return str(error).removeprefix(' needs ')
  return ''


def missing(package: str) -> str | None:
  """How to install a package of EXTRAS; None for any other.

  >>> missing('optuna.samplers')
  "the package optuna: pip install 'rmtl-jax[tune]'"
  """
  name = package.partition('.')[0]
  if name not in EXTRAS:
    return None
  extra = EXTRAS[name]
  command = f"'rmtl-jax[{extra}]'" if extra else name
  return f'the package {name}: pip install {command}'

"""JSON that others may have written: read strictly, refused in one line."""

from __future__ import annotations

import collections
import contextlib
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NoReturn

from rmtl_jax import types

# What taking a record apart raises where it is another one than expected.
_DAMAGE = (
  LookupError,
  TypeError,
  ValueError,
  AttributeError,
  ArithmeticError,
)


def read(path: str | os.PathLike[str], missing: str = '') -> Any:
  """Decodes a JSON file.

  A byte-order mark is left out. Keys that stand twice are refused, as one of
  the two would count for nothing; so are NaN and infinity, which JSON has
  not.

  Args:
    path: the file.
    missing: what to say further where there is no such file.

  Returns:
    The document.

  Raises:
    types.InputError: no such file, one that can't be read, or no JSON; names
      the row.
  """
  path = pathlib.Path(path)
  try:
    return json.loads(
      path.read_text(encoding='utf-8-sig'),
      parse_constant=_refuse_constant,
      parse_float=_finite,
      object_pairs_hook=_unique,
    )
  except (FileNotFoundError, NotADirectoryError):
    more = f': {missing}' if missing else ''
    raise types.InputError(f'{path}: not found{more}') from None
  except json.JSONDecodeError as error:
    raise types.InputError(
      f'{path}: row {error.lineno}: not valid JSON: {error.msg}'
    ) from None
  except RecursionError:
    raise types.InputError(
      f'{path}: not valid JSON: nested too deeply'
    ) from None
  except (OSError, ValueError) as error:  # no UTF-8, a name with NUL, ...
    said = error.strerror if isinstance(error, OSError) else error
    raise types.InputError(f'{path}: not readable: {said}') from None


@contextlib.contextmanager
def parsing(where: str) -> Iterator[None]:
  """Around what takes apart a record of our own that has been read.

  Args:
    where: the record's file.

  Raises:
    types.InputError: the record lacks something, or holds something else than
      was written there.
  """
  try:
    yield
  except _DAMAGE as error:
    reason = f'lacks {error}' if isinstance(error, KeyError) else str(error)
    raise types.InputError(
      f'{where}: not as rmtl wrote it: {reason}'
    ) from error


def _refuse_constant(name: str) -> NoReturn:
  raise ValueError(f'not valid JSON: {name} is no number')


def _finite(text: str) -> float:
  value = float(text)
  if math.isinf(value):
    raise ValueError(f'not valid JSON: {text:.80} is too large')
  return value


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  found = dict(pairs)
  if len(found) < len(pairs):
    counts = collections.Counter(name for name, _ in pairs)
    twice = next(name for name, count in counts.items() if count > 1)
    raise ValueError(f'not valid JSON: {twice!r:.80} stands twice')
  return found

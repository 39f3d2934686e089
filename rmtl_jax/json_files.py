"""Strict JSON: errors of one line, and None for numbers that are not finite."""

from __future__ import annotations

import collections
import contextlib
import hashlib
import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from rmtl_jax import types

# The entry of a record that has the digest of the others.
DIGEST = 'record_digest'
# Errors of taking a malformed record apart.
_DAMAGE = (
  LookupError,
  TypeError,
  ValueError,
  AttributeError,
  ArithmeticError,
)


def read(path: str | os.PathLike[str], missing: str = '') -> Any:
  """Decodes a JSON file.

  A byte-order mark is skipped. Repeated keys are refused, as Python would
  ignore all but the last; so are NaN and infinity, which JSON lacks, numbers
  that no float holds, and a record with a digest of another one (`sealed`).

  Args:
    missing: a hint for the error that there is no such file.

  Raises:
    types.InputError: a missing or unreadable file, no JSON, which names the
      row, or a record that is not as it was written.
  """
  path = pathlib.Path(path)
  try:
    found = json.loads(
      path.read_text(encoding='utf-8-sig'),
      parse_constant=_refuse_constant,
      parse_float=_finite,
      parse_int=_whole,
      object_pairs_hook=unique,
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
    reason = error.strerror if isinstance(error, OSError) else error
    raise types.InputError(f'{path}: not readable: {reason}') from None
  if isinstance(found, dict) and DIGEST in found and not is_whole(found):
    raise types.InputError(f'{path}: is not as it was written')
  return found


def sealed(record: Mapping[str, Any]) -> dict[str, Any]:
  """Adds a digest of the record to it, after a round trip through JSON.

  The round trip makes tuples lists and keys strings: the digest is of what a
  reader will see.

  >>> is_whole(sealed({'a': 1})), is_whole({**sealed({'a': 1}), 'a': 2})
  (True, False)
  """
  plain = json.loads(json.dumps(record))
  return {**plain, DIGEST: _record_digest(plain)}


def is_whole(record: Any) -> bool:
  """Whether a record is as `sealed` made it."""
  return isinstance(record, dict) and (
    record.get(DIGEST) == _record_digest(record)
  )


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
  """The object of some pairs, an `object_pairs_hook` of Python's json.

  Raises:
    ValueError: a key occurs twice; Python would take the last one.
  """
  found = dict(pairs)
  if len(found) < len(pairs):
    counts = collections.Counter(name for name, _ in pairs)
    twice = next(name for name, count in counts.items() if count > 1)
    raise ValueError(f'{twice!r:.80} occurs twice in an object')
  return found


def number(value: float) -> float | None:
  """A number as JSON has it: None where it is not finite."""
  return float(value) if math.isfinite(value) else None


@contextlib.contextmanager
def parsing(where: str) -> Iterator[None]:
  """Turns errors of parsing one of our records into one line.

  Args:
    where: the record's file.

  Raises:
    types.InputError: the record is not as the package wrote it.
  """
  try:
    yield
  except _DAMAGE as error:
    reason = f'lacks {error}' if isinstance(error, KeyError) else str(error)
    raise types.InputError(
      f'{where}: not as rmtl wrote it: {reason}'
    ) from error


def _record_digest(record: Mapping[str, Any]) -> str:
  content = {k: v for k, v in record.items() if k != DIGEST}
  text = json.dumps(content, sort_keys=True)
  return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def _refuse_constant(name: str) -> NoReturn:
  raise ValueError(f'not valid JSON: {name} is no number')


def _finite(text: str) -> float:
  value = float(text)
  if math.isinf(value):
    raise ValueError(f'not valid JSON: {text:.80} is too large')
  return value


def _whole(text: str) -> int:
  value = int(text)
  _finite(text)
  return value

"""The URL of a state's Redis; errors never show what is secret in it."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any, NamedTuple

from rmtl_jax import types

_SCHEMES = ('redis', 'rediss', 'unix')
_TLS = ('ssl_ca_certs', 'ssl_certfile', 'ssl_keyfile')
_LOG = re.compile(r'[A-Za-z0-9_.-]{1,64}')
# Whatever is wrong may be a part of a password.
_FAULT = (
  '--state: expected a directory or redis://[[USER]:PASSWORD@]HOST[:PORT][/DB],'
  ' rediss://... or unix://PATH, then ?log=NAME and, for rediss, &ssl_ca_certs='
  'FILE; write characters of a password other than letters and digits as %XX'
)


class Place(NamedTuple):
  """Where a state is.

  Attributes:
    options: of `redis.Redis`.
    prefix: of all its keys.
    shown: the URL without secrets.
  """

  options: dict[str, Any]
  prefix: str
  shown: str


def read(url: str) -> Place:
  """Reads a URL.

  Raises:
    types.InputError: it is none; doesn't repeat it.
  """
  try:
    return _read(url)
  except ValueError:
    raise types.InputError(_FAULT) from None


def _read(url: str) -> Place:
  parts = urllib.parse.urlsplit(url)
  more = dict(
    urllib.parse.parse_qsl(
      parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)
    )
  )
  log = more.pop('log', 'log')
  is_tls, is_unix = parts.scheme == 'rediss', parts.scheme == 'unix'
  known = _TLS if is_tls else ('db',) if is_unix else ()
  if (
    parts.scheme not in _SCHEMES
    or parts.fragment
    or {*more} - {*known}
    or not _LOG.fullmatch(log)
  ):
    raise ValueError
  database = more.pop('db', '0') if is_unix else parts.path.strip('/') or '0'
  if not re.fullmatch('[0-9]{1,6}', database):
    raise ValueError
  options: dict[str, Any] = {'db': int(database), **more}
  place = parts.netloc.rpartition('@')[2]
  if is_unix:
    if place or not parts.path:
      raise ValueError
    options['unix_socket_path'] = urllib.parse.unquote(parts.path)
    place, database = parts.path, f'?db={database}&log={log}'
  else:
    if not parts.hostname:
      raise ValueError
    options |= {'host': parts.hostname, 'port': parts.port or 6379}
    options['ssl'] = is_tls
    database = f'/{database}?log={log}'
  for name in ('username', 'password'):
    if getattr(parts, name):
      options[name] = urllib.parse.unquote(getattr(parts, name))
  return Place(options, f'rmtl:{log}:', f'{parts.scheme}://{place}{database}')

"""`rmtl serve`: answers requests over HTTP."""

from __future__ import annotations

import functools
import math
import pathlib
import stat
from collections.abc import Sequence

from absl import flags

from rmtl_jax import extras, types
from rmtl_jax.commands import common
from rmtl_jax.serving import sizes

_LOOPBACK = ('127.0.0.1', '::1', 'localhost')


def define(values: flags.FlagValues, argv: Sequence[str]) -> None:
  """Defines the flags of the command."""
  del argv
  common.define_workdir(values)
  common.define_stage(values)
  _define_address(values)
  flags.DEFINE_string(
    'state',
    '',
    'Where the rows of POST /v1/events are kept, from which as-of features and'
    ' sessions are computed: a directory, made if it is not there, or a Redis'
    ' that several servers share: redis://HOST:PORT/DB?log=NAME, rediss://,'
    ' unix://.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'history',
    '',
    'Earlier raw rows that an empty state starts from, as rmtl predict takes'
    ' them.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'max_rows',
    512,
    'Most rows of a request and of a batch; programs up to this size are'
    ' compiled at the start.',
    lower_bound=1,
    upper_bound=sizes.MOST_ROWS,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'max_bytes',
    8_000_000,
    "Most bytes of a request's body.",
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_float(
    'wait_ms',
    0.0,
    'How long the first request of a batch may wait for others, ms. Those that'
    ' arrive while a batch is computed share the next one anyway.',
    lower_bound=0.0,
    upper_bound=1000.0,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'queue_rows',
    8192,
    'Rows that may wait in a process; requests beyond get status 503.',
    lower_bound=1,
    flag_values=values,
  )
  flags.DEFINE_integer(
    'workers', 1, 'Processes.', lower_bound=1, flag_values=values
  )
  flags.DEFINE_float(
    'reload_seconds',
    2.0,
    'How often WORKDIR is looked at for a newer model; 0: SIGHUP alone.',
    lower_bound=0.0,
    flag_values=values,
  )
  flags.DEFINE_float(
    'stop_seconds',
    30.0,
    'How long requests may take to finish after SIGTERM.',
    lower_bound=0.0,
    flag_values=values,
  )


def _define_address(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
    'host',
    '127.0.0.1',
    'Address to listen at. Any other than the loopback is open to the network:'
    ' give --token_file too, and put TLS in front (SECURITY.md).',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'port',
    8000,
    'Port to listen at; 0 for any that is free.',
    lower_bound=0,
    upper_bound=65535,
    flag_values=values,
  )
  flags.DEFINE_string(
    'token_file',
    '',
    'A file with the token that requests must carry (Authorization: Bearer'
    ' TOKEN), but for /health and /ready.',
    flag_values=values,
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  value = functools.partial(common.value, values)
  workdir = common.workdir(values)
  if not workdir.is_dir():
    raise types.InputError(f'{workdir}: not found')
  if value('history') and not value('state'):
    raise types.InputError('--history: needs --state, which starts from it')
  for name in ('wait_ms', 'reload_seconds', 'stop_seconds'):
    if not math.isfinite(value(name)):
      raise types.InputError(f'--{name}: expected a finite number')
  token = _token(value('token_file'))
  for package in ('starlette', 'uvicorn', 'prometheus_client', 'flatbuffers'):
    extras.require(package, 'rmtl serve')
  from rmtl_jax.server.state import stores

  stores.check(value('state'))
  from rmtl_jax.server import serve
  from rmtl_jax.server import settings as settings_lib

  settings = settings_lib.Settings(
    str(workdir),
    value('stage') or '',
    value('calibrated'),
    token=token,
    **{
      name: value(name)
      for name in (
        *('state', 'history', 'max_rows', 'max_bytes', 'wait_ms'),
        *('queue_rows', 'reload_seconds', 'stop_seconds', 'workers'),
      )
    },
  )
  listening = serve.listen(value('host'), value('port'))
  serve.say(f'listening: {serve.address(listening)}')
  if not token and value('host') not in _LOOPBACK:
    serve.say('warning: open to the network, without a token (--token_file)')
  prepare = functools.partial(common.set_up_jax, value('compilation_cache'))
  return serve.run(settings, listening, prepare)


def _token(name: str) -> str:
  """The token in a file.

  Raises:
    types.InputError: a file without one, or that others can read.
  """
  if not name:
    return ''
  path = pathlib.Path(name)
  if path.is_file() and path.stat().st_mode & (stat.S_IRGRP | stat.S_IROTH):
    raise types.InputError(f'{path}: others can read it; chmod 600 {path}')
  token = path.read_text(encoding='utf-8', errors='replace').strip()
  if len(token) < 16 or not token.isascii() or not token.isprintable():
    raise types.InputError(
      f'{path}: expected a token of at least 16 printable ASCII characters'
    )
  return token

"""`rmtl serve`: answers requests over HTTP."""

from __future__ import annotations

import dataclasses
import functools
import math
import pathlib
import stat

from absl import flags

from rmtl_jax import extras, types
from rmtl_jax.commands import common
from rmtl_jax.server import options as options_lib

_DEFAULTS = options_lib.Settings(workdir='')
_LOOPBACK = ('127.0.0.1', '::1', 'localhost')


def define(flag: common.Definer) -> None:
  """Defines the flags of the command."""
  common.define_workdir(flag)
  common.define_stage(flag)
  _define_address(flag)
  flag.string(
    'state',
    '',
    'Where the rows of POST /v1/events are kept, from which as-of features and'
    ' sessions are computed: a directory, made if it is not there.',
  )
  flag.float(
    'settle_days',
    _DEFAULTS.settle_days,
    'Days after which a row of the state takes no more labels and only sums of'
    ' it are kept.',
    lower_bound=0.1,
    upper_bound=3650.0,
  )
  flag.string(
    'history',
    '',
    'Earlier raw rows that an empty state starts from, as rmtl predict takes'
    ' them.',
  )
  flag.integer(
    'max_rows',
    _DEFAULTS.max_rows,
    'Most rows of a request; programs up to this size are compiled at the'
    ' start.',
    lower_bound=1,
    upper_bound=1024,
  )
  flag.integer('workers', _DEFAULTS.workers, 'Processes.', lower_bound=1)


def _define_address(flag: common.Definer) -> None:
  flag.string(
    'host',
    '127.0.0.1',
    'Address to listen at. Any other than the loopback is open to the network:'
    ' give --token_file too, and put TLS in front (SECURITY.md).',
  )
  flag.integer(
    'port',
    8000,
    'Port to listen at; 0 for any that is free.',
    lower_bound=0,
    upper_bound=65535,
  )
  flag.string(
    'token_file',
    '',
    'A file with the token that requests must carry (Authorization: Bearer'
    ' TOKEN), but for /health.',
  )


def execute(values: flags.FlagValues) -> int:
  """Runs the command; returns the exit code."""
  workdir = common.workdir(values)
  if not workdir.is_dir():
    raise types.InputError(f'{workdir}: not found')
  if values.history and not values.state:
    raise types.InputError('--history: needs --state, which starts from it')
  if not math.isfinite(values.settle_days):
    raise types.InputError('--settle_days: expected a finite number')
  token = _token(values.token_file)
  for package in ('starlette', 'uvicorn', 'prometheus_client'):
    extras.require(package, 'rmtl serve')
  from rmtl_jax.server import processes

  names = [field.name for field in dataclasses.fields(options_lib.Settings)]
  given = {name: getattr(values, name) for name in names if name in values}
  given |= {
    'workdir': str(workdir),
    'stage': values.stage or '',
    'token': token,
  }
  settings = options_lib.Settings(**given)
  listening = processes.listen(values.host, values.port)
  processes.say(f'listening: {processes.address(listening)}')
  if not token and values.host not in _LOOPBACK:
    processes.say('warning: open to the network, without --token_file')
  prepare = functools.partial(common.set_up_jax, values.compilation_cache)
  return processes.run(settings, listening, prepare)


def _token(name: str) -> str:
  """The token in a file."""
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

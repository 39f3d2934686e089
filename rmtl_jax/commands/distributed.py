"""Flags of a command that runs on many devices, or as one of many processes."""

from __future__ import annotations

import errno
import os
import re
import sys
import time
from typing import Any

from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common

# Seconds without a heartbeat after which a process counts as lost.
HEARTBEAT = 15
# Seconds that a process waits for the others to start.
MEETING = 300
# Seconds that a process waits after an error, so that the other processes find
# the same error (bad input, say) and not a lost peer.
_GRACE = 2.0
# Messages of collectives and JAX's coordination when a process is lost.
_LOST = re.compile(
  r'Gloo|NCCL|[Cc]onnection (closed|reset|refused)|[Hh]eartbeat'
  r'|[Cc]oordination service|[Bb]arrier'
)
LOST = (
  'another process of this job was lost; started again, the job resumes from'
  ' its last checkpoint'
)
# Flags that may differ between the processes of a job, besides what is compared
# where the run is found: who they are, and where they see its files.
_OWN_FLAGS = frozenset(
  (
    *('distributed', 'coordinator_address', 'num_processes', 'process_id'),
    *('workdir', 'data_dir', 'compilation_cache', 'preset', 'config'),
  )
)
# Flags whose values are paths: one directory has several.
_PATHS = ('start_from', 'run')


def define(flag: common.Definer) -> None:
  """Defines flags for many devices and many processes."""
  flag.string(
    'mesh',
    '',
    'Devices on two axes, as data:4,model:2: batches are split over data,'
    ' embedding tables over model. Without it one device computes; in a job of'
    ' several processes all devices, on data.',
  )
  flag.boolean(
    'distributed',
    False,
    'One of several processes, each started with the same flags; the three'
    ' flags below, or else what JAX finds in the environment (SLURM, Open MPI,'
    ' Kubernetes, TPU), give all three.',
  )
  flag.string(
    'coordinator_address', None, 'HOST:PORT of process 0, where processes meet.'
  )
  flag.integer(
    'num_processes', None, 'How many processes the job has.', lower_bound=1
  )
  flag.integer(
    'process_id', None, 'Which of them this is, from 0 on.', lower_bound=0
  )


def is_asked(values: flags.FlagValues) -> bool:
  """Whether the command line starts one of several processes.

  Raises:
    types.InputError: the flags contradict each other.
  """
  if 'distributed' not in values:
    return False
  address, number, own = (
    getattr(values, name)
    for name in ('coordinator_address', 'num_processes', 'process_id')
  )
  given = [x is not None for x in (address, number, own)]
  if not values.distributed:
    if any(given) and not all(given):
      raise types.InputError(
        '--coordinator_address, --num_processes and --process_id belong'
        ' together (or use --distributed, which finds them)'
      )
    if not any(given):
      return False
  if address is not None and not re.fullmatch(r'\S+:\d{1,5}', address):
    raise types.InputError(
      f'--coordinator_address: {address!r:.80} is not HOST:PORT'
    )
  if None not in (number, own) and own >= number:
    raise types.InputError(
      f'--process_id: {own} is not below --num_processes={number}'
    )
  return True


def layout(values: flags.FlagValues) -> Any:
  """The layout of --mesh; None: one device. Connects to the other processes.

  Raises:
    types.InputError: the devices don't fit the mesh, the process's number is
      unknown, or another process was given other flags.
    ConnectionError: another process did not connect.
  """
  asked, text = is_asked(values), values.mesh
  if asked:
    _initialize(values)
    _check_alike(values)
  if not asked and not text:
    return None
  import jax

  from rmtl_jax.runtime import mesh

  shape = mesh.parse(text) if text else mesh.Shape(len(jax.devices()), 1)
  return mesh.layout(shape)


def _initialize(values: flags.FlagValues) -> None:
  import jax

  names = ('coordinator_address', 'num_processes', 'process_id')
  given = {name: getattr(values, name) for name in names}
  # The service would handle SIGTERM itself; training does.
  jax.config.update('jax_enable_preemption_service', False)
  try:
    jax.distributed.initialize(
      **given,
      initialization_timeout=MEETING,
      heartbeat_timeout_seconds=HEARTBEAT,
    )
  except (ValueError, TypeError) as error:
    raise types.InputError(
      f'--distributed: {error}; give --coordinator_address, --num_processes'
      ' and --process_id where JAX does not recognise the environment'
    ) from None
  except RuntimeError as error:
    first = (str(error).strip() or 'no answer').splitlines()[0]
    raise ConnectionError(
      errno.ETIMEDOUT, f'the processes of this job did not meet: {first}'
    ) from None


def _check_alike(values: flags.FlagValues) -> None:
  """Refuses flags that process 0 was not given.

  With another mesh or other stages, processes would wait for each other for
  ever. Settings are compared where the run is found.
  """
  from rmtl_jax.runtime import collectives, workdir

  own = {
    name: _given(values, name)
    for name in values
    if name not in _OWN_FLAGS and not name.startswith('config.')
  }
  first = collectives.broadcast(lambda: own)

  def compare():
    for name, given in own.items():
      if given != first[name]:
        raise types.InputError(
          f'--{name}: this process has {given or "none"}, process 0 of this job'
          f' {first[name] or "none"}'
        )

  collectives.all_or_raise(compare, types.InputError, workdir.OTHER)


def _given(values: flags.FlagValues, name: str) -> str:
  """A flag and its value, of a path the one that it resolves to."""
  path = common.path(values, name) if name in _PATHS else None
  return f'--{name}={path.resolve()}' if path else values[name].serialize()


def is_one_of_many() -> bool:
  """Whether this process has met others; imports nothing."""
  jax = sys.modules.get('jax')
  return jax is not None and jax.distributed.is_initialized()


def tells_of_a_loss(error: Exception) -> bool:
  """Whether an exception of one of many processes is a lost peer's."""
  return is_one_of_many() and _LOST.search(str(error)) is not None


def leave(code: int) -> None:
  """Ends one of many processes that failed, without waiting for the others.

  JAX's own exit waits for all processes, so after an error for ever.
  """
  if code and is_one_of_many():
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_GRACE)
    os._exit(code)

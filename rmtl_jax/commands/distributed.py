"""Runs a command as one of several processes: a supervisor and its worker.

JAX aborts a process when a peer is lost, and dumps its stack. So the process
that the user starts only supervises: it starts the same command line as its
worker, forwards signals, and prints one line about the worker's end. Output of
the worker's libraries goes to a log in RUN.
"""

from __future__ import annotations

import errno
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TextIO

from absl import flags

from rmtl_jax import types
from rmtl_jax.commands import common

# Seconds without a heartbeat after which a process counts as lost.
HEARTBEAT = 15
# Seconds that a process waits for the others to start.
MEETING = 300
# 'FD:LOG' in the environment makes a process a worker. FD is a pipe from its
# supervisor: when that dies, the pipe closes and the worker exits.
_WORKER = 'RMTL_WORKER'
# Exit code of a worker after an unexpected exception.
_RAISED = 70
# Seconds that a worker waits after an error of its own (bad input, say), so
# that the other processes find the same error and not a lost peer.
_GRACE = 2.0
# System errors that a lost peer can't cause: a full disk.
_OWN = (errno.ENOSPC, errno.EDQUOT)
_LOST = re.compile(
  r'[Tt]ask:?\s?(\d+) heartbeat timeout'
  r'|stopped sending heartbeats\):\s*((?:\d+\s+)+)'
)
# JAX's messages when the coordinator, process 0, is lost.
_LEADER_LOST = re.compile(
  r'leader task was preempted/died'
  r'|after coordination service has shut down'
  r'|JAX distributed service detected fatal errors'
)
# Gloo aborts the process in a collective that a peer left halfway, before JAX
# knows of the loss.
_BROKEN = re.compile(r"terminate called after .* 'gloo::")
_ABSENT = re.compile(r'CoordinationService/RegisterTask')
# Prefix of error lines in the worker's log, which the supervisor prints.
_PREFIX = 'rmtl: '
# What processes of one job may be told differently, beside what is compared
# where the run is found: who they are, and where they see its files.
_OWN_FLAGS = frozenset(
  (
    *('distributed', 'coordinator_address', 'num_processes', 'process_id'),
    *('workdir', 'data_dir', 'compilation_cache', 'preset', 'config'),
  )
)
# Flags whose values are paths: one directory has several.
_PATHS = ('start_from', 'run')
# Bytes at the end of a log that are searched for the reason.
_TAIL = 2**18

_log: TextIO | None = None  # in a worker
_is_own_failure = False  # whether the worker's error can't be a lost peer


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
    ' Kubernetes, TPU), say which.',
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
  """Whether the command line asks for several processes.

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
        ' together (or --distributed finds what is not given)'
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


def is_worker() -> bool:
  """Whether this process is supervised."""
  return _WORKER in os.environ


def errors() -> TextIO:
  """The stream of error lines; a worker's go to its log, for the supervisor."""
  return _log or sys.stderr


def note(error: Exception) -> None:
  """Records whether an error of this worker can be a lost peer.

  A lost peer breaks connections, which may raise any error, but never one of a
  full disk, of memory or of a loss that is not finite.
  """
  global _is_own_failure
  full = isinstance(error, OSError) and error.errno in _OWN
  _is_own_failure = full or isinstance(error, FloatingPointError | MemoryError)


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
      ' and --process_id where JAX does not know the environment'
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
  from rmtl_jax.runtime import processes, workdir

  own = {
    name: _given(values, name)
    for name in values
    if name not in _OWN_FLAGS and not name.startswith('config.')
  }
  first = processes.broadcast(lambda: own)

  def compare():
    for name, given in own.items():
      if given != first[name]:
        raise types.InputError(
          f'--{name}: this process has {given or "none"}, process 0 of this job'
          f' {first[name] or "none"}'
        )

  processes.all_or_raise(compare, types.InputError, workdir.OTHER)


def _given(values: flags.FlagValues, name: str) -> str:
  """A flag and its value, of a path the one that it resolves to."""
  path = common.path(values, name) if name in _PATHS else None
  return f'--{name}={path.resolve()}' if path else values[name].serialize()


def supervise(argv: Sequence[str], values: flags.FlagValues) -> int:
  """Runs the command line in a worker; returns the exit code."""
  common.require(values, 'workdir')
  log = _log_path(values)
  log.parent.mkdir(parents=True, exist_ok=True)
  log.write_text('')
  reads, writes = os.pipe()
  try:
    worker = subprocess.Popen(
      [sys.executable, '-m', 'rmtl_jax', *argv],
      env={**os.environ, _WORKER: f'{reads}:{log}'},
      pass_fds=(reads,),
      process_group=0,  # else a terminal's signals reach the worker twice
    )
    os.close(reads)
    numbers = (signal.SIGTERM, signal.SIGINT)
    for number in numbers:
      signal.signal(number, lambda n, frame: worker.send_signal(n))
    code = worker.wait()
    for number in numbers:
      signal.signal(number, signal.SIG_DFL)
  finally:
    os.close(writes)
  return _report(code, log, _only_peer(values))


def _only_peer(values: flags.FlagValues) -> int | None:
  """The other process of a job of two; else None."""
  own = values.process_id
  is_one_of_two = values.num_processes == 2
  return 1 - own if is_one_of_two and own is not None else None


def _log_path(values: flags.FlagValues) -> pathlib.Path:
  own = values.process_id
  name = f'process_{own}' if own is not None else f'process_{os.getpid()}'
  path = pathlib.Path(values.workdir) / 'logs'
  return path / f'{socket.gethostname()}_{name}.log'


def _report(code: int, log: pathlib.Path, only_peer: int | None) -> int:
  """Prints why the worker ended; returns the exit code of the command."""
  if code in (0, 128 + signal.SIGINT, 128 + signal.SIGTERM):
    return code
  if -code in (signal.SIGINT, signal.SIGTERM):
    return 128 - code
  text = _end_of(log)
  errors = [line for line in text.splitlines() if line.startswith(_PREFIX)]
  lost = lost_processes(text)
  # A loss comes first: the errors that it causes in the worker are no reason.
  broken = _BROKEN.search(text) is not None
  if broken and not lost and only_peer is not None:
    lost = [only_peer]
  if (lost or broken) and code != 2:
    print(_loss(lost, log), file=sys.stderr)
    return 1
  if errors:
    print(errors[-1], file=sys.stderr)
    return code if code in (1, 2) else 1
  if _ABSENT.search(text):
    print(
      f'{_PREFIX}the processes of this job did not meet within {MEETING} s: is'
      ' each of them started, and --coordinator_address reached from all?',
      file=sys.stderr,
    )
    return 1
  how = f'signal {-code}' if code < 0 else f'exit code {code}'
  print(
    f'{_PREFIX}this process of the job ended with {how}; started again, the job'
    f' goes on from its last checkpoint ({log} has the details)',
    file=sys.stderr,
  )
  return 1


def lost_processes(text: str) -> list[int]:
  """The numbers of lost processes in a log; the coordinator is 0."""
  numbers = ' '.join(word for words in _LOST.findall(text) for word in words)
  lost = {int(number) for number in numbers.split()}
  if not lost and _LEADER_LOST.search(text):
    lost = {0}
  return sorted(lost)


def _loss(lost: Sequence[int], log: pathlib.Path) -> str:
  who = f'process {lost[0]}' if lost else 'another process'
  verb = 'was'
  if len(lost) > 1:
    who, verb = f'processes {", ".join(map(str, lost))}', 'were'
  return (
    f'{_PREFIX}{who} of this job {verb} lost; started again, the job'
    f' goes on from its last checkpoint ({log} has the details)'
  )


def _end_of(log: pathlib.Path) -> str:
  with log.open('rb') as file:
    file.seek(max(log.stat().st_size - _TAIL, 0))
    return file.read().decode(errors='replace')


def work(command: Callable[[], int]) -> NoReturn:
  """Runs command() as a worker; exits with the code that it returns."""
  descriptor, _, path = os.environ[_WORKER].partition(':')
  threading.Thread(
    target=_end_with_supervisor, args=(int(descriptor),), daemon=True
  ).start()
  _split_streams(pathlib.Path(path))
  try:
    code = command()
  except Exception:
    # Perhaps a peer was lost: JAX will then abort this process and name it.
    traceback.print_exc(file=_log)
    code = _RAISED
  _leave(code)


def _end_with_supervisor(descriptor: int) -> None:
  """Exits when the supervisor has died."""
  os.read(descriptor, 1)
  os._exit(1)


def _split_streams(path: pathlib.Path) -> None:
  """Sends output of libraries to a log; Python's stays on the terminal."""
  global _log
  sys.stdout, sys.stderr = (
    os.fdopen(os.dup(number), 'w', buffering=1, errors='backslashreplace')
    for number in (1, 2)
  )
  _log = path.open('a', buffering=1, encoding='utf-8')
  for number in (1, 2):
    os.dup2(_log.fileno(), number)


def _leave(code: int) -> NoReturn:
  # A repeat of the signal must neither kill the process nor dump a stack.
  saved = code in (128 + signal.SIGINT, 128 + signal.SIGTERM)
  for number in (signal.SIGINT, signal.SIGTERM):
    signal.signal(number, signal.SIG_IGN if saved else signal.SIG_DFL)
  for stream in (sys.stdout, sys.stderr):
    stream.flush()
  if code == 0:
    sys.exit(0)  # JAX waits for the other processes
  # The cause may be a lost peer. A broken connection fails at once, but JAX
  # names the peer only after HEARTBEAT seconds: wait for its message.
  unsure = code in (1, _RAISED) and not _is_own_failure
  time.sleep(HEARTBEAT + 5.0 if unsure else _GRACE)
  os._exit(code)

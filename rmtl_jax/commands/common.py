"""Helpers of the commands: flags, data, signals, JAX's set-up."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import pathlib
import shlex
import shutil
import signal
import sys
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from absl import flags
from absl import logging as absl_logging

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file

# Seconds that work has to notice a signal, and in which a repeat counts as the
# same signal; see _Signals.
GRACE = 5.0


class Definer:
  """Defines flags of a command: absl's DEFINE functions, by kind of flag."""

  def __init__(self, values: flags.FlagValues):
    """Defines nothing yet."""
    self.boolean = functools.partial(flags.DEFINE_boolean, flag_values=values)
    self.enum = functools.partial(flags.DEFINE_enum, flag_values=values)
    self.float = functools.partial(flags.DEFINE_float, flag_values=values)
    self.integer = functools.partial(flags.DEFINE_integer, flag_values=values)
    self.list = functools.partial(flags.DEFINE_list, flag_values=values)
    self.multi_string = functools.partial(
      flags.DEFINE_multi_string, flag_values=values
    )
    self.string = functools.partial(flags.DEFINE_string, flag_values=values)


class Terminated(KeyboardInterrupt):
  """SIGTERM arrived; handled as Ctrl-C."""


@contextlib.contextmanager
def cleaning_up() -> Iterator[None]:
  """Turns SIGTERM into an exception, so that unfinished files are removed.

  Raises:
    Terminated: SIGTERM arrived.
  """
  arrived = False

  def stop(number: int, frame: Any) -> None:
    del number, frame
    nonlocal arrived
    if not arrived:  # a second signal must not interrupt the removal
      arrived = True
      raise Terminated

  old = signal.signal(signal.SIGTERM, stop)
  try:
    yield
  except KeyboardInterrupt:
    # DuckDB turns the handler's exception into its own KeyboardInterrupt.
    if arrived:
      raise Terminated from None
    raise
  finally:
    signal.signal(signal.SIGTERM, old)


def define_data(flag: Definer) -> None:
  """Defines flags of commands that read prepared data or simulate it."""
  flag.string(
    'data_dir',
    '',
    'Prepared data. Without it, a run that is there takes its own, and a new'
    ' one simulates sessions into WORKDIR/data first.',
  )
  flag.integer(
    'simulated_rows',
    40_000,
    'Rows to simulate where --data_dir is not given.',
    lower_bound=100,
  )


def data_dir(
  values: flags.FlagValues,
  path: pathlib.Path,
  live: Any,
) -> pathlib.Path:
  """Finds the prepared data: --data_dir, the run's own, or new simulated data.

  Raises:
    types.InputError: the directory has other files.
  """
  from rmtl_jax.runtime import workdir as workdir_lib

  if values.data_dir:
    return pathlib.Path(values.data_dir)
  if (path / 'config.json').exists():
    run = workdir_lib.read(path)
    workdir_lib.own_manifest(run)
    return run.data_dir
  place, rows = path / 'data', values.simulated_rows
  if not (place / 'manifest.json').exists():
    _check_unused(path)
    from rmtl_jax.preparation import prepare_log

    live.say(f'simulating {rows:,} rows into {place}')
    # Data that are simulated for a published form stay plain.
    as_of = 'auto' if values.preset == 'recommended' else 'none'
    settings = prepare_settings.PrepareConfig(
      source='simulated',
      data_dir=str(place),
      simulated_rows=rows,
      as_of=(as_of,),
    )
    with cleaning_up():
      prepare_log.prepare(settings, live.step)
    live.clear()
  return place


def study_data(
  values: flags.FlagValues, path: pathlib.Path
) -> tuple[pathlib.Path, manifest_lib.Manifest]:
  """Finds the prepared data of a comparison or a search, and their manifest.

  Raises:
    types.InputError: the directory has other files.
  """
  from rmtl_jax.report import opening
  from rmtl_jax.runtime import progress

  live = progress.Progress()
  found = data_dir(values, path, live)
  manifest = manifest_file.read(found)
  if not values.data_dir:
    print(opening.data(manifest, found), file=sys.stderr, flush=True)
  return found, manifest


def check_paths(values: flags.FlagValues, path: pathlib.Path) -> None:
  """Refuses paths of a new run before JAX and other slow imports start.

  Raises:
    types.InputError: --data_dir is not prepared data or is combined with
      --simulated_rows, or RUN can't be written or contains something else.
  """
  if values.data_dir:
    if values['simulated_rows'].present:
      raise types.InputError(
        '--simulated_rows: can not be combined with --data_dir; leave it out'
      )
    manifest_file.read(values.data_dir)
  elif not any(
    (path / name).exists() for name in ('config.json', 'data/manifest.json')
  ):
    _check_unused(path)
  there = next(p for p in (path, *path.absolute().parents) if p.exists())
  try:
    # A file without a name: nothing of it stays.
    tempfile.TemporaryFile(dir=there).close()
  except OSError as error:
    raise types.InputError(
      f'--workdir: {path}: cannot be written: {error.strerror}'
    ) from None


def _check_unused(path: pathlib.Path) -> None:
  """Refuses a directory with more than an interrupted simulation leaves."""
  try:
    names = sorted(entry.name for entry in path.iterdir())
  except OSError:  # missing, or the first write reports the error
    return
  # Files of locks, and of a preparation that was killed.
  own = ('.lock', '.data.')
  others = [name for name in names if not name.startswith(own)]
  if others:
    raise types.InputError(
      f'{path}: contains {others[0]!r:.80} and no run: name another --workdir,'
      ' or the data with --data_dir'
    )


def interruptible(
  work: Callable[[Callable[[], int]], Any],
  agree: Callable[[int], int] = lambda number: number,
) -> Any:
  """Runs work until a signal stops it; returns its result, or the exit code.

  Args:
    work: called with a function that returns the signal's number, or 0.
    agree: maps this process's number to that of all processes of a job.
  """
  from rmtl_jax.training import epoch_loop

  with _Signals(agree) as signals:
    try:
      return work(signals.number)
    except epoch_loop.Interrupted as stop:
      _say_interrupted(stop.signal_number)
      return 128 + stop.signal_number


def _say_interrupted(number: int) -> None:
  print(
    f'rmtl: interrupted by signal {number}; start the same command again to go'
    ' on',
    file=sys.stderr,
    flush=True,
  )


def integers(name: str, texts: Sequence[str]) -> list[int]:
  """Parses a list flag; InputError if a value is no integer."""
  try:
    return [int(text) for text in texts]
  except ValueError:
    raise types.InputError(
      f'--{name}: {",".join(texts)!r} is not a list of integers'
    ) from None


def define_workdir(
  flag: Definer, text: str = "RUN, the run's directory."
) -> None:
  """Defines flags of commands that compute; `text` describes --workdir."""
  flag.string('workdir', '', text)
  flag.boolean(
    'compilation_cache',
    True,
    "Keep compiled programs under the user's cache directory.",
  )


def define_stage(flag: Definer) -> None:
  """Defines the flag of commands that use a trained model."""
  flag.enum(
    'stage',
    None,
    ['finetune', 'constant', 'pretrain'],
    'Whose parameters; if not given finetune where it beats pretrain on'
    ' validation, else pretrain. constant is the control.',
  )


def path(values: flags.FlagValues, name: str) -> pathlib.Path | None:
  """The path in a flag; None if it is not given."""
  given = getattr(values, name)
  return pathlib.Path(given) if given else None


def workdir(values: flags.FlagValues) -> pathlib.Path:
  """The path in --workdir.

  Raises:
    types.InputError: it is not given.
  """
  require(values, 'workdir')
  return pathlib.Path(values.workdir)


def require(values: flags.FlagValues, *names: str) -> None:
  """Refuses a command line without one of the flags."""
  for name in names:
    if not getattr(values, name):
      raise types.InputError(f'--{name}: is needed')


def check_there(values: flags.FlagValues, *names: str) -> None:
  """Refuses inputs that are missing before JAX and other slow imports start.

  Args:
    names: flags of paths; those that are not given, and - for a stream, pass.

  Raises:
    types.InputError: nothing is there.
  """
  for name in names:
    given = getattr(values, name)
    if given and given != '-' and not os.path.exists(given):
      raise types.InputError(not_found(name, given))


def not_found(name: str, given: str | os.PathLike[str]) -> str:
  """The line that refuses the path of a flag where nothing is."""
  is_run = name in ('workdir', 'run')
  how = ' (make a run with rmtl train)' if is_run else ''
  return f'--{name}: {given}: not found{how}'


def print_report(record: dict[str, Any]) -> None:
  """Prints the table and the sentences that end a run."""
  from rmtl_jax.report import pages, run_report

  print()
  print(pages.text(run_report.metrics_table(record)))
  members = run_report.members_table(record)
  if members is not None:
    print(pages.text(members))
  for sentence in run_report.sentences(record):
    print(pages.wrapped(sentence))
  print()


def program() -> str:
  """What calls this program again: `rmtl` where PATH has it, or its path."""
  called = pathlib.Path(sys.argv[0])
  if called.name == '__main__.py':
    return 'python -m rmtl_jax'
  found = shutil.which('rmtl')
  if called.name == 'rmtl' and not (found and called.samefile(found)):
    return shlex.quote(str(called))
  return 'rmtl'


def print_next(words: str) -> None:
  """Prints the command that comes next."""
  print(f'next: {program()} {words}')


def start_jax(values: flags.FlagValues) -> None:
  """`set_up_jax` by the flags of a command."""
  set_up_jax('compilation_cache' in values and values.compilation_cache)


def start_on(values: flags.FlagValues, *inputs: str) -> pathlib.Path:
  """Checks --workdir and flags of inputs, and starts JAX; returns WORKDIR.

  Raises:
    types.InputError: WORKDIR is not given, or it or an input is missing.
  """
  path = workdir(values)
  check_there(values, 'workdir', *inputs)
  start_jax(values)
  return path


def set_up_jax(caches: bool) -> None:
  """Sets JAX up: strict mode, quiet logs, small memory, cached programs."""
  absl_logging.set_verbosity(absl_logging.WARNING)
  absl_logging.use_absl_handler()
  _quiet_orbax()
  # Matplotlib warns of a user without a home directory.
  logging.getLogger('matplotlib').setLevel(logging.ERROR)
  import jax

  from rmtl_jax.runtime import programs

  jax.config.update('jax_numpy_rank_promotion', 'raise')
  if caches:
    programs.keep()


def _quiet_orbax() -> None:
  """Silences advice of Orbax, and logs of errors that it also raises.

  It advises fewer checkpoints where a disk is slow. Before it raises an error,
  it logs a traceback, asyncio logs its lost futures and TensorStore its lost
  callbacks; at the end of the process Python warns of coroutines that Orbax did
  not await.
  """
  logging.getLogger('absl').addFilter(
    lambda record: (
      'orbax' not in record.pathname
      or not (record.exc_info or record.levelno < logging.ERROR)
    )
  )
  logging.getLogger('asyncio').setLevel(logging.CRITICAL)
  warnings.filterwarnings(
    'ignore', r"coroutine '.*' was never awaited", RuntimeWarning
  )
  print_error = sys.unraisablehook

  def hook(unraisable: Any) -> None:
    if str(unraisable.exc_value) != 'Event loop is closed':
      print_error(unraisable)

  sys.unraisablehook = hook


class _Signals:
  """Records SIGTERM and SIGINT until training polls for them.

  Training asks between dispatches, saves and ends. Work that does not ask
  within GRACE seconds (a compilation, an evaluation) has nothing to save, so
  the process then exits; files are written atomically, so it may at any time.

  The same signal exits at once if it comes again after GRACE seconds. Earlier
  it counts as one: a cluster or `timeout` may signal a process and its group.
  """

  def __init__(self, agree: Callable[[int], int] = lambda number: number):
    self._agree = agree
    self._number = 0
    self._heard = threading.Event()

  def __enter__(self) -> _Signals:
    # The system writes to this pipe even while a compilation blocks the main
    # thread, where Python's own handlers would have to wait.
    self._reads, self._writes = os.pipe()
    os.set_blocking(self._writes, False)
    self._old_fd = signal.set_wakeup_fd(self._writes, warn_on_full_buffer=False)
    self._old = {
      number: signal.signal(number, self._remember)
      for number in (signal.SIGTERM, signal.SIGINT)
    }
    self._watcher = threading.Thread(target=self._watch, daemon=True)
    self._watcher.start()
    return self

  def __exit__(self, *error: Any) -> None:
    self._heard.set()
    signal.set_wakeup_fd(self._old_fd)
    os.close(self._writes)  # which ends the watcher
    self._watcher.join()
    os.close(self._reads)
    for number, handler in self._old.items():
      signal.signal(number, handler)

  def _watch(self) -> None:
    first: dict[int, float] = {}
    while received := os.read(self._reads, 1):
      number, now = received[0], time.monotonic()
      if number not in self._old:
        continue
      again = now - first.setdefault(number, now) > GRACE
      if again or not self._heard.wait(GRACE):
        with contextlib.suppress(OSError):
          _say_interrupted(number)
        os._exit(128 + number)

  def _remember(self, number: int, frame: Any) -> None:
    del frame
    self._number = number

  def number(self) -> int:
    """The signal that arrived in any process, or 0."""
    number = self._agree(self._number)
    if number:
      # Training does not poll while it saves: the watcher must not exit.
      self._heard.set()
    return number

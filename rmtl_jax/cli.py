"""The launcher: parses the command line and runs a command.

Commands import heavy modules when they run, so that `--help` and usage errors
are instant.
"""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import flags

import rmtl_jax
from rmtl_jax import registry, types
from rmtl_jax.commands import (
  backtest,
  common,
  compare,
  describe_command,
  distributed,
  evaluate,
  export,
  failures,
  importance,
  init,
  predict,
  prepare_command,
  refit_command,
  report,
  serve,
  train,
  tune,
)
from rmtl_jax.commands import help as help_lib
from rmtl_jax.config import flags as config_flags

_HELP = ('-h', '-help', '--help', '-helpfull', '--helpfull')
# Most characters of an error line: room for long paths.
_LONGEST_LINE = 2000


class Command(NamedTuple):
  """A command of the launcher.

  Attributes:
    summary: one line for --help.
    module: of rmtl_jax/commands: `define` defines its flags, `execute` takes
      the parsed flags and returns the exit code.
    settings: returns the run settings that are flags of this command, for
      --help; None: it takes none.
    arguments: the flag that positional arguments set.
  """

  summary: str
  module: Any
  settings: Callable[[], Sequence[help_lib.Entry]] | None = None
  arguments: str = ''

  def define(self, values: flags.FlagValues, line: Sequence[str]) -> None:
    """Defines its flags; a command line names the settings to override."""
    self.module.define(common.Definer(values))
    if self.settings:
      config_flags.define(values, line)

  def listed_settings(self) -> Sequence[help_lib.Entry]:
    """Its settings as --help lists them."""
    return self.settings() if self.settings else ()


def run() -> None:
  """The console script `rmtl`."""
  for stream in (sys.stdout, sys.stderr):
    if isinstance(stream, io.TextIOWrapper):
      stream.reconfigure(errors='backslashreplace')
  code = main(sys.argv)
  distributed.leave(code)
  try:
    if sys.stdout:
      sys.stdout.flush()
  except OSError as error:
    # Python would flush again at exit, and print a traceback.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    code = code or _fail(f'standard output: {error.strerror}', 1)
  sys.exit(code)


def main(argv: Sequence[str]) -> int:
  """Runs one command line.

  Args:
    argv: the program's name, the command, its flags.

  Returns:
    0 done, 1 failed, 2 bad usage or bad input, 130/143 interrupted.
  """
  try:
    return _run(argv)
  except common.Terminated:
    return _fail('ended by SIGTERM; what was unfinished is removed', 143)
  except KeyboardInterrupt:
    return _fail('interrupted', 130)
  except Exception as error:
    failure = failures.of(error, argv[1] if len(argv) > 1 else '')
    failures.show(error)
    if distributed.tells_of_a_loss(error):
      return _fail(distributed.LOST, 1)
    return _fail(failure.line, failure.code)


def _run(argv: Sequence[str]) -> int:
  # `rmtl help train` is `rmtl train --help`.
  if argv[1:2] == ['help'] and len(argv) > 2:
    argv = [argv[0], *argv[2:], '--help']
  if len(argv) < 2 or argv[1] in ('help', *_HELP):
    print(_overview())
    return 0 if len(argv) > 1 else 2
  if argv[1] == '--version':
    print(f'rmtl_jax {rmtl_jax.__version__}')
    return 0
  name = argv[1]
  if name not in COMMANDS:
    raise types.InputError(
      f'{registry.not_one_of(name, COMMANDS)}; see rmtl help'
    )
  command = COMMANDS[name]
  _check_text(argv[2:])
  values = flags.FlagValues()
  line = [f'rmtl {name}', *argv[2:]]
  command.define(values, line)
  if any(a in _HELP for a in argv[2:]):
    full = any(a.endswith('helpfull') for a in argv[2:])
    print(
      help_lib.page(
        name, command.summary, values, command.listed_settings(), full
      ),
      end='',
    )
    return 0
  try:
    rest = values(line)[1:]
  except flags.UnrecognizedFlagError as error:
    raise types.InputError(
      _unknown_flag(error.flagname, name, values)
    ) from None
  if rest and command.arguments:
    _take(rest, values[command.arguments])
  elif rest:
    raise types.InputError(f'{rest[0]!r}: flags start with --')
  return command.module.execute(values)


def _overview() -> str:
  """The page of `rmtl help`."""
  listed = '\n'.join(
    f'  {name:<12}{command.summary}' for name, command in COMMANDS.items()
  )
  return f"""\
rmtl: multi-task recommendation with critic-weighted losses.

{listed}

rmtl help COMMAND     its usual flags; rmtl COMMAND --helpfull: all flags
rmtl --version
RMTL_DEBUG=1 rmtl ... prints tracebacks of errors

First time? Run: rmtl train --workdir=runs/first"""


def _take(words: Sequence[str], flag: flags.Flag) -> None:
  """Sets a flag from positional arguments."""
  if isinstance(flag, flags.MultiFlag):
    flag.value = [*(flag.value or []), *words]
  elif len(words) > 1 or flag.present:
    raise types.InputError(f'{words[-1]!r}: --{flag.name} takes one')
  else:
    flag.parse(words[0])


def _check_text(arguments: Sequence[str]) -> None:
  """Refuses arguments with a NUL or without a UTF-8 encoding."""
  for argument in arguments:
    if '\0' in argument:
      raise types.InputError(f'{argument!r:.80}: contains a NUL')
    try:
      argument.encode()
    except UnicodeError:
      raise types.InputError(f'{argument!r:.80}: is not valid UTF-8') from None


def _fail(message: str, code: int) -> int:
  line = types.one_line(message)
  if len(line) > _LONGEST_LINE:  # its middle is left out
    half = _LONGEST_LINE // 2
    line = f'{line[:half]} [...] {line[-half:]}'
  print(f'rmtl: {line}', file=sys.stderr, flush=True)
  return code


def _unknown_flag(flag: str, name: str, values: flags.FlagValues) -> str:
  """The error of a flag that the command does not have."""
  elsewhere = {}
  for other, command in COMMANDS.items():
    theirs = flags.FlagValues()
    command.define(theirs, [other])
    elsewhere[other] = set(theirs)
  return help_lib.unknown_flag(
    flag, name, values, COMMANDS[name].listed_settings(), elsewhere
  )


COMMANDS = {
  'init': Command(
    'guesses the schema of a raw log, with reasons',
    init,
    arguments='raw_dir',
  ),
  'prepare': Command(
    'prepares raw logs as sessions for training; --check checks prepared data',
    prepare_command,
  ),
  'describe': Command(
    'prints rates, drift, unseen values and sessions of prepared data',
    describe_command,
    arguments='data_dir',
  ),
  'train': Command(
    'trains the three stages of RMTL, then evaluates the model',
    train,
    help_lib.settings,
  ),
  'refit': Command(
    'retrains stage 1 of a run on train and validation rows', refit_command
  ),
  'evaluate': Command(
    "restores a run's best checkpoints and computes all metrics", evaluate
  ),
  'report': Command(
    'writes a page on a run or comparison, one HTML file', report
  ),
  'importance': Command(
    'measures what permuting fields costs in AUC and logloss', importance
  ),
  'predict': Command('adds a prediction per task to raw rows', predict),
  'serve': Command(
    'serves predictions over HTTP, with state from events',
    serve,
  ),
  'export': Command(
    'exports a model as StableHLO, with all that serving needs', export
  ),
  'compare': Command(
    'trains methods x seeds on the same data, with paired tests',
    compare,
    lambda: help_lib.settings(compares=True),
  ),
  'backtest': Command(
    'compares daily warm starts with retraining from scratch',
    backtest,
    help_lib.settings,
  ),
  'tune': Command(
    'searches settings of stage 1 on validation rows, without the test split',
    tune,
    help_lib.settings,
  ),
}

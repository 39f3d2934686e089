"""The launcher: flags to a config to one of the commands; wires, no more.

Heavy modules are imported by the command that needs them, so that `--help`
and usage errors are instant.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from absl import flags
from absl import logging as absl_logging

import rmtl_jax
from rmtl_jax import config as config_lib
from rmtl_jax import config_flags, prepare_config, types

_OVERVIEW = """\
rmtl: multi-task recommendation whose critics weigh every row's loss.

  rmtl prepare --source=NAME --raw_dir=DIR --data_dir=DATA
                          raw logs to prepared sessions
  rmtl train --workdir=RUN [--data_dir=DATA] [--config.backbone=ple ...]
                          pre-train, train critics, fine-tune; without data it
                          simulates sessions first
  rmtl evaluate --workdir=RUN [--split=test] [--data_dir=DATA]
                          restores a run and computes its metrics
  rmtl predict --workdir=RUN --input=FILE|- --output=FILE|-
                          the same raw rows with a probability per task
  rmtl compare --workdir=DIR --methods=ple+critic,... --seeds=0,1,... [...]
                          methods x seeds with paired tests and controls
  rmtl tune --workdir=DIR --data_dir=DATA [--trials=30] [--search=...]
                          better settings, by validation alone

  rmtl COMMAND --help     flags and settings of a command
  rmtl --version

First time? Run: rmtl train --workdir=runs/first
"""


class Command(NamedTuple):
  """A command of the launcher.

  Attributes:
    summary: what it does, for --help.
    define: defines its flags, given (flag values, command line).
    execute: runs it, given the parsed flags; returns the exit code.
    details: further text of --help.
  """

  summary: str
  define: Callable[[flags.FlagValues, Sequence[str]], None]
  execute: Callable[[flags.FlagValues], int]
  details: Callable[[], str] = lambda: ''


def run() -> None:
  """The console script `rmtl`."""
  sys.exit(main(sys.argv))


def main(argv: Sequence[str]) -> int:
  """Runs one command line.

  Args:
    argv: the program's name, the command, its flags.

  Returns:
    0 done, 1 failed, 2 bad usage or bad input, 130/143 interrupted.
  """
  if len(argv) < 2 or argv[1] in ('help', '-h', '--help', '--helpfull'):
    print(_OVERVIEW, end='')
    return 0 if len(argv) > 1 else 2
  if argv[1] == '--version':
    print(f'rmtl_jax {rmtl_jax.__version__}')
    return 0
  name = argv[1]
  if name not in COMMANDS:
    return _fail(
      f'{name!r} is not one of {", ".join(COMMANDS)} (see rmtl --help)', 2
    )
  command = COMMANDS[name]
  try:
    values = flags.FlagValues()
    line = [f'rmtl {name}', *argv[2:]]
    command.define(values, line)
    if any(a in ('-h', '-help', '--help', '--helpfull') for a in argv[2:]):
      print(_help(name, command, values), end='')
      return 0
    rest = values(line)[1:]
    if rest:
      raise types.InputError(f'{rest[0]!r}: flags start with --')
    return command.execute(values)
  except (types.InputError, flags.Error) as error:
    return _fail(' '.join(str(error).split()), 2)
  except FloatingPointError as error:
    return _fail(f'stopped: {error}; the last checkpoint is intact', 1)
  except KeyboardInterrupt:
    return _fail('interrupted', 130)
  except BrokenPipeError:
    # The reader of our output left; nobody is there to be told.
    sys.stdout = open(os.devnull, 'w')  # noqa: SIM115
    return 1
  except OSError as error:  # a full disk, a directory without write bits
    return _fail(f'{error.filename or ""}: {error.strerror or error}', 1)


def _fail(message: str, code: int) -> int:
  print(f'rmtl: {message}', file=sys.stderr)
  return code


def _help(name: str, command: Command, values: flags.FlagValues) -> str:
  lines = [f'rmtl {name}: {command.summary}', '']
  for flag_name in sorted(values):
    flag = values[flag_name]
    if flag_name.startswith('config.'):
      continue
    default = '' if flag_name == 'config' else f'={flag.default_as_str or ""}'
    lines.append(f'  --{flag_name}{default}'.replace("='", '=').rstrip("'"))
    lines.append(f'      {" ".join((flag.help or "").split())}')
  return '\n'.join(lines) + '\n' + command.details()


def _define_prepare(values: flags.FlagValues, argv: Sequence[str]) -> None:
  del argv
  texts = config_flags.attribute_texts(prepare_config.PrepareConfig)
  for field in dataclasses.fields(prepare_config.PrepareConfig):
    default, text = field.default, texts[field.name]
    if isinstance(default, bool):
      flags.DEFINE_boolean(field.name, default, text, flag_values=values)
    elif isinstance(default, int):
      flags.DEFINE_integer(field.name, default, text, flag_values=values)
    elif isinstance(default, float):
      flags.DEFINE_float(field.name, default, text, flag_values=values)
    elif isinstance(default, tuple):
      shown = ','.join(map(str, default))
      flags.DEFINE_list(field.name, shown, text, flag_values=values)
    else:
      flags.DEFINE_string(field.name, str(default), text, flag_values=values)


def _prepare(values: flags.FlagValues) -> int:
  from rmtl_jax.data import prepare, summary
  from rmtl_jax.training import progress

  settings: dict[str, Any] = {}
  for field in dataclasses.fields(prepare_config.PrepareConfig):
    value: Any = values[field.name].value
    if isinstance(field.default, tuple):
      value = tuple(value)
    if field.name == 'split':
      try:
        value = tuple(int(part) for part in value)
      except ValueError:
        raise types.InputError(
          f'--{field.name}: {",".join(value)!r} is not a list of integers'
        ) from None
    settings[field.name] = value
  config = prepare_config.PrepareConfig(**settings)
  _require(values, 'data_dir')
  live = progress.Progress()
  manifest = prepare.prepare(config, live.step)
  live.clear()
  print(summary.summary(manifest))
  print(f'prepared data: {config.data_dir}')
  return 0


def _define_train(values: flags.FlagValues, argv: Sequence[str]) -> None:
  _define_workdir(values)
  _define_data(values)
  flags.DEFINE_enum(
    'stage',
    'all',
    ['all', 'pretrain', 'critic', 'finetune'],
    'Train one stage only; earlier ones must have been trained in RUN.',
    flag_values=values,
  )
  config_flags.define(values, argv)


def _define_data(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
    'data_dir',
    '',
    'Prepared data; without it, sessions are simulated into WORKDIR/data'
    ' first.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'simulated_rows',
    60_000,
    'Rows to simulate where --data_dir is not given.',
    lower_bound=100,
    flag_values=values,
  )


def _data_dir(
  values: flags.FlagValues, path: pathlib.Path, live: Any
) -> pathlib.Path:
  """The prepared data that is named, or simulated sessions."""
  if _value(values, 'data_dir'):
    return pathlib.Path(_value(values, 'data_dir'))
  _simulate(path / 'data', _value(values, 'simulated_rows'), live)
  return path / 'data'


def _interruptible(work: Callable[[Callable[[], int]], Any]) -> Any:
  """What work(number of the signal that arrived) gives, or an exit code."""
  from rmtl_jax.training import trainer

  try:
    return work(_Signals().number)
  except trainer.Interrupted as stop:
    print(
      f'rmtl: {stop}; start the same command again to go on', file=sys.stderr
    )
    return 128 + stop.signal_number


def _train(values: flags.FlagValues) -> int:
  _require(values, 'workdir')
  config = config_flags.parse(values)
  _start_jax(values)
  from rmtl_jax.report import pictures, tables
  from rmtl_jax.training import progress, run

  path = pathlib.Path(_value(values, 'workdir'))
  live = progress.Progress()
  data_dir = _data_dir(values, path, live)
  stage = _value(values, 'stage')
  stages = run.ORDER if stage == 'all' else (stage,)
  record = _interruptible(
    lambda number: run.train(config, path, data_dir, stages, live, number)
  )
  if isinstance(record, int):
    return record
  _print_report(record)
  picture = path / 'report' / 'overview.png'
  pictures.overview(record, run.read_history(path), picture)
  print(tables.text_of_paths(metrics=path / 'metrics.json', picture=picture))
  return 0


def _simulate(data_dir: pathlib.Path, rows: int, live: Any) -> None:
  """Simulated sessions in RUN/data, once."""
  from rmtl_jax.data import prepare, summary

  if (data_dir / 'manifest.json').exists():
    return
  live.say(f'simulating {rows:,} rows into {data_dir}')
  manifest = prepare.prepare(
    prepare_config.PrepareConfig(
      source='simulated', data_dir=str(data_dir), simulated_rows=rows
    ),
    live.step,
  )
  live.clear()
  live.say(summary.summary(manifest))


def _define_evaluate(values: flags.FlagValues, argv: Sequence[str]) -> None:
  del argv
  _define_workdir(values)
  flags.DEFINE_string(
    'data_dir',
    '',
    'Prepared data with the fields of the run; what it was trained on if not'
    ' given.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'split',
    'test',
    ['train', 'validation', 'test'],
    'The rows to evaluate on.',
    flag_values=values,
  )


def _evaluate(values: flags.FlagValues) -> int:
  _require(values, 'workdir')
  _start_jax(values)
  from rmtl_jax.report import tables
  from rmtl_jax.training import run

  path = pathlib.Path(_value(values, 'workdir'))
  split = _value(values, 'split')
  data_dir = _value(values, 'data_dir')
  record = run.evaluate(
    path, split, pathlib.Path(data_dir) if data_dir else None
  )
  _print_report(record)
  print(tables.text_of_paths(metrics=path / 'evaluation' / f'{split}.json'))
  return 0


def _define_predict(values: flags.FlagValues, argv: Sequence[str]) -> None:
  del argv
  _define_workdir(values)
  flags.DEFINE_string(
    'input',
    '',
    'Raw rows: a .parquet, .csv, .csv.gz, .tsv or .tsv.gz file, or - for an'
    ' Arrow IPC stream on standard input. The columns of the features are'
    ' needed, no labels: named as in the raw log where the run was trained on'
    ' source table, as the fields (RUN/manifest.json) for other sources.',
    flag_values=values,
  )
  flags.DEFINE_string(
    'output',
    '',
    'The same rows in the same order and a column p_<task> per task: a'
    ' .parquet, .csv or .tsv file, which appears when it is complete, or - for'
    ' an Arrow IPC stream on standard output.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'stage',
    None,
    ['finetune', 'constant', 'pretrain'],
    'Whose parameters; if not given finetune, or pretrain where that is all'
    ' there is. constant is the control.',
    flag_values=values,
  )


def _predict(values: flags.FlagValues) -> int:
  for name in ('workdir', 'input', 'output'):
    _require(values, name)
  _start_jax(values)
  from rmtl_jax.serving import predict

  # Ends as an error does, so that no half-written file is left.
  signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
  output = _value(values, 'output')
  predict.predict(
    pathlib.Path(_value(values, 'workdir')),
    _value(values, 'input'),
    output,
    _value(values, 'stage') or '',
  )
  if output != '-':
    print(f'predictions: {output}')
  return 0


def _define_compare(values: flags.FlagValues, argv: Sequence[str]) -> None:
  _define_workdir(values)
  _define_data(values)
  flags.DEFINE_list(
    'methods',
    None,
    'What to compare (config.compare.methods), as'
    ' BACKBONE[+WEIGHTING[@CRITIC_BACKBONE]][:SETTING=VALUE ...]: mmoe is the'
    ' pre-trained model, ple+critic is RMTL, ple+critic@esmm takes the critics'
    ' of esmm, ple+critic:weighting.lambda_=0.3 changes a setting. The controls'
    ' of weighted methods are added.',
    flag_values=values,
  )
  flags.DEFINE_list(
    'seeds',
    None,
    'Seeds of the paired runs (config.compare.seeds); 16 for a claim.',
    flag_values=values,
  )
  config_flags.define(values, argv)


def _compare(values: flags.FlagValues) -> int:
  _require(values, 'workdir')
  config = _compared(config_flags.parse(values), values)
  _start_jax(values)
  from rmtl_jax.report import comparison, comparison_pictures, tables
  from rmtl_jax.training import compare, progress

  path = pathlib.Path(_value(values, 'workdir'))
  data_dir = _data_dir(values, path, progress.Progress())
  live = progress.Progress(brief=True)
  results = _interruptible(
    lambda number: compare.compare(config, path, data_dir, live, number)
  )
  if isinstance(results, int):
    return results
  live.clear()
  pictures = comparison_pictures.draw(results, path)
  text = comparison.markdown(results, pictures)
  (path / 'results.md').write_text(text, encoding='utf-8')
  table = comparison.runs_csv(results)
  (path / 'results.csv').write_text(table, encoding='utf-8')
  print(comparison.text(results))
  print(
    tables.text_of_paths(
      results=path / 'results.json', report=path / 'results.md'
    )
  )
  return 0


def _compared(
  config: config_lib.Config, values: flags.FlagValues
) -> config_lib.Config:
  """The config with --methods and --seeds."""
  changes: dict[str, Any] = {}
  methods, seeds = _value(values, 'methods'), _value(values, 'seeds')
  if methods:
    changes['methods'] = methods
  if seeds:
    changes['seeds'] = _integers('seeds', seeds)
  return config_lib.from_dict({'compare': changes}, config)


def _define_tune(values: flags.FlagValues, argv: Sequence[str]) -> None:
  _define_workdir(values)
  _define_data(values)
  flags.DEFINE_list(
    'search',
    None,
    'The space: SETTING=LOW:HIGH, SETTING=LOW:HIGH:log or SETTING=A|B|...'
    ' each; the settings of network, pretrain, critic, weighting and finetune'
    ' that are numbers, texts or true/false. Without it: learning rate, L2,'
    ' dropout and id-dropout of stage 1, or learning rate, lambda and gamma of'
    ' stage 3.',
    flag_values=values,
  )
  flags.DEFINE_enum(
    'stage',
    'pretrain',
    ['pretrain', 'finetune'],
    'The last stage of a trial.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'trials', 30, 'Points to try.', lower_bound=1, flag_values=values
  )
  flags.DEFINE_list(
    'seeds',
    ['0', '1'],
    'Runs of a trial; their mean decides.',
    flag_values=values,
  )
  flags.DEFINE_integer(
    'sampler_seed', 0, 'Of the search.', lower_bound=0, flag_values=values
  )
  config_flags.define(values, argv)


def _tune(values: flags.FlagValues) -> int:
  _require(values, 'workdir')
  config = config_flags.parse(values)
  seeds = _integers('seeds', _value(values, 'seeds'))
  _start_jax(values)
  from rmtl_jax.report import tables, tuning
  from rmtl_jax.training import progress, search, tune

  stage = _value(values, 'stage')
  wanted = tune.Search(
    tuple(
      search.parse(text, config)
      for text in _value(values, 'search') or search.DEFAULTS[stage]
    ),
    stage,
    _value(values, 'trials'),
    tuple(seeds),
    _value(values, 'sampler_seed'),
  )
  path = pathlib.Path(_value(values, 'workdir'))
  data_dir = _data_dir(values, path, progress.Progress())
  live = progress.Progress(brief=True)
  record = _interruptible(
    lambda number: tune.tune(config, wanted, path, data_dir, live, number)
  )
  if isinstance(record, int):
    return record
  live.clear()
  print(tuning.text(record))
  print(
    tables.text_of_paths(trials=path / 'tuning.json', config=path / 'best.json')
  )
  return 0


def _integers(name: str, texts: Sequence[str]) -> list[int]:
  try:
    return [int(text) for text in texts]
  except ValueError:
    raise types.InputError(
      f'--{name}: {",".join(texts)!r} is not a list of integers'
    ) from None


def _define_workdir(values: flags.FlagValues) -> None:
  flags.DEFINE_string(
    'workdir', '', "RUN, the run's directory.", flag_values=values
  )
  flags.DEFINE_boolean(
    'compilation_cache',
    True,
    "Keep compiled programs under the user's cache directory.",
    flag_values=values,
  )


def _value(values: flags.FlagValues, name: str) -> Any:
  return values[name].value


def _require(values: flags.FlagValues, name: str) -> None:
  if not values[name].value:
    raise types.InputError(f'--{name}: is needed')


def _print_report(record: dict[str, Any]) -> None:
  from rmtl_jax.report import tables

  print()
  print(tables.text(tables.metrics_table(record)))
  for sentence in tables.sentences(record):
    print(sentence)
  print()


def _start_jax(values: flags.FlagValues) -> None:
  """Strict mode, quiet logs, compiled programs kept over runs."""
  absl_logging.set_verbosity(absl_logging.WARNING)
  absl_logging.use_absl_handler()
  import jax

  jax.config.update('jax_numpy_rank_promotion', 'raise')
  if values['compilation_cache'].value:
    home = os.environ.get('XDG_CACHE_HOME') or pathlib.Path.home() / '.cache'
    cache = pathlib.Path(home) / 'rmtl_jax' / 'xla'
    jax.config.update('jax_compilation_cache_dir', str(cache))
    jax.config.update('jax_persistent_cache_min_compile_time_secs', 0.5)


class _Signals:
  """Remembers the first SIGTERM or SIGINT; a second one is not caught."""

  def __init__(self):
    self._number = 0
    for number in (signal.SIGTERM, signal.SIGINT):
      signal.signal(number, self._remember)

  def _remember(self, number: int, frame: Any) -> None:
    del frame
    self._number = number
    signal.signal(number, signal.SIG_DFL)

  def number(self) -> int:
    """The signal that arrived, or 0."""
    return self._number


COMMANDS = {
  'prepare': Command(
    'raw logs to prepared sessions', _define_prepare, _prepare
  ),
  'train': Command(
    'the three stages of RMTL, then metrics, a table and a picture',
    _define_train,
    _train,
    lambda: (
      '\nSettings, with their defaults:\n' + config_flags.settings_help() + '\n'
    ),
  ),
  'evaluate': Command(
    "restores a run's best checkpoints and computes all metrics",
    _define_evaluate,
    _evaluate,
  ),
  'predict': Command(
    'raw rows to the same rows with a probability per task',
    _define_predict,
    _predict,
  ),
  'compare': Command(
    'methods x seeds on the same data, with controls and paired tests',
    _define_compare,
    _compare,
    lambda: (
      '\nSettings, with their defaults:\n'
      + config_flags.settings_help(compares=True)
      + '\n'
    ),
  ),
  'tune': Command(
    'searches settings by their validation AUC; the test split is not read',
    _define_tune,
    _tune,
    lambda: (
      '\nSettings, with their defaults:\n' + config_flags.settings_help() + '\n'
    ),
  ),
}

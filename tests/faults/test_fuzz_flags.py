"""Every flag of every command with values that nobody would give."""

from __future__ import annotations

import contextlib
import pathlib
import shutil

import hypothesis
import pytest
from absl import flags
from hypothesis import strategies as st

from rmtl_jax import cli, run
from rmtl_jax.config import flags as config_flags
from rmtl_jax.library import importance
from rmtl_jax.server import serve
from rmtl_jax.serving.export import writer as export_writer
from rmtl_jax.serving.monitoring import judge
from rmtl_jax.studies.backtest import backtest
from rmtl_jax.studies.comparison import compare
from rmtl_jax.studies.tuning import tune
from tests.faults import fuzz_targets, fuzz_worker, mutations

_ODD = (
  *mutations.VALUES,
  *('0KB', '0%', '1KB', '200%', '99999999999999999999TB', '1e3GB'),
  *(
    '6,2,2',
    '1,1',
    '0,0,0',
    '-1,1,1',
    'all',
    'gap,gap',
    ',',
    ',,',
    '(1,',
    '()',
  ),
  *('table', 'train', 'ple+critic', 'ple+critic:seed=x', 'ple@', '+', 'user=2'),
  *('network.dropout=0:1', 'network.dropout=1:0:log', 'seed=0:1', '=', 'a=b|'),
)
_TEXTS = st.one_of(
  st.sampled_from(_ODD),
  st.integers().map(str),
  st.floats().map(str),
  # Places of the file system outside of the test's are no business of ours.
  st.text(max_size=30).filter(lambda text: '/' not in text),
  st.just('x' * mutations.HUGE),
)


def _names(command: str) -> list[str]:
  """The flags of a command, its settings among them."""
  values = flags.FlagValues()
  cli.COMMANDS[command].define(values, [command])
  names = [name for name in values if not name.startswith('config')]
  if 'config' in values:
    names += ['config', *(f'config.{n}' for n, _, _ in config_flags.describe())]
  return sorted(names)


_FLAGS = [(c, name) for c in sorted(cli.COMMANDS) for name in _names(c)]


def _base(command: str, directory: pathlib.Path) -> list[str]:
  """A command line that works, to which further flags are added."""
  data = f'--data_dir={directory}/data'
  new = [data, f'--workdir={directory}/new']
  return {
    'init': [
      f'--raw_dir={directory}/raw/log.csv',
      f'--output={directory}/guessed.json',
    ],
    'describe': [data],
    'prepare': [
      *('--source=table', f'--raw_dir={directory}/raw/log.csv'),
      f'--schema={directory}/schema.json',
      *(f'--data_dir={directory}/out', '--threads=1', '--min_count=1'),
      '--any_dates',
    ],
    'train': new,
    'compare': [*new, '--methods=ple+critic', '--seeds=0,1'],
    'tune': new,
    'evaluate': [f'--workdir={directory}/run', data],
    'predict': [
      f'--workdir={directory}/run',
      f'--input={directory}/rows.parquet',
      f'--output={directory}/scores.parquet',
    ],
    'export': [f'--workdir={directory}/run', f'--output={directory}/out'],
    'report': [f'--workdir={directory}/run', f'--output={directory}/page'],
    'refit': [f'--run={directory}/run', f'--workdir={directory}/new'],
    'importance': [f'--workdir={directory}/run'],
    'monitor': [
      f'--workdir={directory}/run',
      f'--log={directory}/rows.parquet',
      f'--output={directory}/page',
    ],
    'serve': [f'--workdir={directory}/run', '--port=0'],
    'backtest': [
      f'--workdir={directory}/new',
      *('--source=table', f'--raw_dir={directory}/raw/log.csv'),
      f'--schema={directory}/schema.json',
      '--any_dates',
    ],
  }[command]


@pytest.fixture(scope='module')
def base(tmp_path_factory):
  path, whole = fuzz_targets.shared(), tmp_path_factory.mktemp('base') / 'whole'
  # Both have raw logs with a schema; those of `table` are to stay.
  for name in ('run', 'table'):
    shutil.copytree(path / name, whole, dirs_exist_ok=True)
  return whole


@contextlib.contextmanager
def _stubs():
  """Without what a sound command line starts, which takes long."""

  def stop(*_, **__):
    raise KeyboardInterrupt

  with pytest.MonkeyPatch.context() as patch:
    for module, name in (
      (run, 'train'),
      (run, 'evaluate'),
      (compare, 'compare'),
      (tune, 'tune'),
      (export_writer, 'export'),
      (importance, 'importance'),
      (judge, 'monitor'),
      (serve, 'listen'),
      (backtest, 'backtest'),
    ):
      patch.setattr(module, name, stop)
    yield patch


def _check(command, extra, base, scratch):
  """One command line, with and without what follows from its values."""
  shutil.rmtree(scratch, ignore_errors=True)
  shutil.copytree(base, scratch)
  here = scratch / 'a' / 'b' / 'c'
  here.mkdir(parents=True)
  with _stubs() as patch, fuzz_worker.said() as (_, err):
    patch.chdir(here)
    code = cli.main(['rmtl', command, *_base(command, scratch), *extra])
  if code in (0, 130):
    return
  fuzz_worker.one_line(code, err.getvalue())
  assert not (scratch / 'out').exists()
  assert not list(scratch.rglob('*partial*'))


def _property(examples):
  @hypothesis.settings(
    max_examples=examples,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
  )
  @hypothesis.given(
    st.lists(st.tuples(st.sampled_from(_FLAGS), _TEXTS), min_size=1, max_size=2)
  )
  def holds(base, scratch, given):
    command = given[0][0][0]
    extra = [f'--{name}={text}' for (_, name), text in given]
    _check(command, extra, base, scratch)

  return holds


@pytest.mark.slow
def test_odd_values_of_flags(base, tmp_path):
  _property(60)(base=base, scratch=tmp_path / 'in put é')


@pytest.mark.slow
@pytest.mark.parametrize('command', sorted(cli.COMMANDS))
def test_a_sound_command_line_is_taken(base, tmp_path, command):
  scratch = tmp_path / 'in put é'
  shutil.copytree(base, scratch)
  with _stubs():
    code = cli.main(['rmtl', command, *_base(command, scratch)])
  assert code in (0, 130)


@pytest.mark.long
def test_odd_values_of_many_flags(base, tmp_path):
  _property(2000)(base=base, scratch=tmp_path / 'in put é')


@pytest.mark.long
@pytest.mark.parametrize('command', sorted(cli.COMMANDS))
def test_every_flag_with_every_odd_value(base, tmp_path, command):
  for name in _names(command):
    for text in ('', 'a\0b', '-1', 'nan', '1' * 400, 'x' * mutations.HUGE):
      _check(command, [f'--{name}={text}'], base, tmp_path / 'input')

"""Packages that are not installed: one line that names them."""

import sys

import pytest

from rmtl_jax import cli, extras, types
from rmtl_jax.commands import evaluate
from tests import tiny


@pytest.mark.parametrize(
  ('package', 'line'),
  [
    ('optuna', "needs the package optuna: pip install 'rmtl-jax[tune]'"),
    ('flatbuffers', "pip install 'rmtl-jax[export]'"),
    ('matplotlib', 'needs the package matplotlib: pip install matplotlib'),
    ('jinja2', 'needs the package jinja2: pip install jinja2'),
  ],
)
def test_the_extra_is_named(monkeypatch, package, line):
  monkeypatch.setitem(sys.modules, package, None)
  with pytest.raises(types.InputError, match=r'^[^\n]*\Z') as error:
    extras.require(package, 'rmtl x')
  assert line in str(error.value)


def _main(capsys, *argv):
  code = cli.main(['rmtl', *map(str, argv), '--nocompilation_cache'])
  return code, capsys.readouterr().err


def test_commands_say_it_in_one_line(monkeypatch, capsys, tmp_path):
  tiny.write_prepared(tmp_path / 'data')
  arguments = (
    f'--workdir={tmp_path / "run"}',
    f'--data_dir={tmp_path / "data"}',
  )
  monkeypatch.setitem(sys.modules, 'optuna', None)
  assert _main(capsys, 'tune', *arguments, '--trials=1') == (
    2,
    "rmtl: rmtl tune needs the package optuna: pip install 'rmtl-jax[tune]'\n",
  )
  for module in ('matplotlib', 'matplotlib.figure'):
    monkeypatch.setitem(sys.modules, module, None)
  for module in list(sys.modules):
    if module.startswith('rmtl_jax.report'):
      monkeypatch.delitem(sys.modules, module)
  monkeypatch.delattr('rmtl_jax.report', raising=False)
  code, error = _main(capsys, 'train', *arguments)
  assert (code, error.split('\n', 1)[1]) == (  # below a line of progress
    2,
    'rmtl: rmtl train needs the package matplotlib: pip install matplotlib\n',
  )
  (tmp_path / 'run').mkdir()  # a missing run would be told first
  assert _main(capsys, 'report', arguments[0]) == (
    2,
    'rmtl: rmtl report needs the package matplotlib: pip install matplotlib\n',
  )


def test_other_modules_are_a_fault_of_ours(monkeypatch, capsys):
  assert extras.missing('rmtl_jax.nothing') is None

  def fail(values):
    raise ModuleNotFoundError('no', name='rmtl_jax.nothing')

  monkeypatch.setattr(evaluate, 'execute', fail)
  assert cli.main(['rmtl', 'evaluate']) == 1
  assert 'unexpected ModuleNotFoundError: no' in capsys.readouterr().err


def test_export_names_its_package(monkeypatch, tmp_path):
  from rmtl_jax.serving import exported
  from rmtl_jax.serving.export import writer as export_writer

  monkeypatch.setitem(sys.modules, 'flatbuffers', None)
  with pytest.raises(types.InputError, match='pip install flatbuffers'):
    exported.load(tmp_path)
  with pytest.raises(types.InputError, match='pip install flatbuffers'):
    export_writer.export(None, tmp_path / 'out')
  assert not (tmp_path / 'out').exists()

"""Packages that are not installed: one line that names them."""

import sys

import pytest

from rmtl_jax import cli, extras, types
from rmtl_jax.commands import evaluate


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


def test_other_modules_are_a_fault_of_ours(monkeypatch, capsys):
  assert extras.missing('rmtl_jax.nothing') is None

  def fail(values):
    raise ModuleNotFoundError('no', name='rmtl_jax.nothing')

  monkeypatch.setattr(evaluate, 'execute', fail)
  assert cli.main(['rmtl', 'evaluate']) == 1
  assert 'unexpected ModuleNotFoundError: no' in capsys.readouterr().err

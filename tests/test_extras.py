"""Packages that are not installed: one line that names them."""

import sys

import pytest

from rmtl_jax import extras, types


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

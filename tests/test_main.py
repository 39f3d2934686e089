"""The console script, before the launcher is there."""

import sys

import pytest

import rmtl_jax
from rmtl_jax import __main__


class _Interrupted:
  """Ctrl-C at the import of the launcher."""

  def find_spec(self, name, *rest):
    del rest
    if name == 'rmtl_jax.cli':
      raise KeyboardInterrupt


def test_an_interrupted_import_is_one_line(monkeypatch, capsys):
  monkeypatch.delitem(sys.modules, 'rmtl_jax.cli', raising=False)
  monkeypatch.delattr(rmtl_jax, 'cli', raising=False)
  monkeypatch.setattr(sys, 'meta_path', [_Interrupted(), *sys.meta_path])
  with pytest.raises(SystemExit) as ended:
    __main__.run()
  assert ended.value.code == 130
  assert capsys.readouterr().err == 'rmtl: interrupted\n'

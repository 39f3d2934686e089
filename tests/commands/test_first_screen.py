"""What `rmtl train` says before JAX starts, and refuses without it."""

import subprocess
import sys

import pytest

from rmtl_jax import cli
from tests import tiers

SCRIPT = """
import sys
from rmtl_jax import cli
code = cli.main(['rmtl', *sys.argv[1:]])
slow = {'jax', 'flax', 'optax', 'orbax', 'duckdb', 'matplotlib'}
print(code, sorted(slow & {name.split('.')[0] for name in sys.modules}))
"""


@pytest.mark.parametrize(
  ('argv', 'part'),
  tiers.some(
    [
      (['--workdir=run', '--data_dir=nowhere'], 'nowhere is not prepared data'),
      (['--workdir=file/run'], '--workdir: file/run: cannot be written'),
      (['--workdir=run', '--config=no.json'], 'no.json: no such file'),
      (['--workdir=other'], "other: contains 'notes' and no run"),
    ],
    [(['--workdir=other'], "other: contains 'notes' and no run")],
  ),
)
def test_paths_are_checked_before_slow_imports(tmp_path, argv, part):
  (tmp_path / 'file').touch()
  (tmp_path / 'other').mkdir()
  (tmp_path / 'other' / 'notes').touch()
  before = sorted(tmp_path.rglob('*'))
  found = subprocess.run(
    [sys.executable, '-c', SCRIPT, 'train', *argv],
    cwd=tmp_path,
    capture_output=True,
    text=True,
    check=True,
  )
  assert found.stdout == '2 []\n'
  assert part in found.stderr and found.stderr.count('\n') == 1
  assert sorted(tmp_path.rglob('*')) == before


@pytest.mark.parametrize('command', tiers.some(cli.COMMANDS, ('train',)))
def test_help_starts_no_jax(command):
  found = subprocess.run(
    [sys.executable, '-c', SCRIPT, command, '--help'],
    capture_output=True,
    text=True,
    check=True,
  )
  last = found.stdout.splitlines()[-1]
  assert last in ('0 []', "0 ['duckdb']")  # which the readers of logs need

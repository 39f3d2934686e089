"""What an export writes, and says of a full disk."""

import os
import pathlib
import subprocess
import sys

import pytest

import rmtl_jax


@pytest.mark.slow
def test_exports_repeat_to_the_byte_and_carry_no_path(run_dir, tmp_path):
  """From two folders, by both entries."""
  package = pathlib.Path(rmtl_jax.__file__).parents[1]
  bin_dir = pathlib.Path(sys.executable).parent
  entries = ([str(bin_dir / 'rmtl')], [sys.executable, '-m', 'rmtl_jax'])
  exports = []
  for number, entry in enumerate(entries):
    folder = tmp_path / f'folder{number}'
    folder.mkdir()
    subprocess.run(
      [*entry, 'export', f'--workdir={run_dir}', '--output=out'],
      cwd=folder,
      env={**os.environ, 'PYTHONPATH': str(package)},
      check=True,
    )
    files = [f for f in (folder / 'out').rglob('*') if f.is_file()]
    found = {f.relative_to(folder): f.read_bytes() for f in files}
    exports.append(found)
    for path in (package, tmp_path, run_dir, sys.prefix):
      text = str(path).encode()
      assert not [name for name, data in found.items() if text in data]
  assert exports[0] == exports[1]

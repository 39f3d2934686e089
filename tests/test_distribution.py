"""What is built for others: the package and what describes it, no more."""

import pathlib
import shutil
import subprocess
import sys
import zipfile

import pytest

import rmtl_jax

_ROOT = pathlib.Path(__file__).parents[1]
_NAME = f'rmtl_jax-{rmtl_jax.__version__}'


def _tracked() -> set[str]:
  if shutil.which('git') is None or not (_ROOT / '.git').exists():
    pytest.skip('needs a git checkout, to know what belongs to the project')
  listed = subprocess.run(
    ['git', 'ls-files'], cwd=_ROOT, capture_output=True, text=True, check=True
  )
  return {
    line for line in listed.stdout.splitlines() if (_ROOT / line).exists()
  }


@pytest.fixture(scope='module')
def built(tmp_path_factory) -> pathlib.Path:
  """Wheel and sdist, from a copy of the tracked files."""
  pytest.importorskip('build.env')  # no directory of that name
  source = tmp_path_factory.mktemp('source')
  for name in _tracked():
    (source / name).parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(_ROOT / name, source / name)
  out = tmp_path_factory.mktemp('dist')
  subprocess.run(
    [sys.executable, '-m', 'build', '--outdir', str(out), str(source)],
    check=True,
    capture_output=True,
  )
  return out


def _package() -> set[str]:
  return {name for name in _tracked() if name.startswith('rmtl_jax/')}


@pytest.mark.long
def test_the_wheel_holds_the_package(built):
  (wheel,) = built.glob('*.whl')
  assert wheel.name == f'{_NAME}-py3-none-any.whl'
  with zipfile.ZipFile(wheel) as archive:
    names = set(archive.namelist())
    metadata = archive.read(f'{_NAME}.dist-info/METADATA').decode()
    points = archive.read(f'{_NAME}.dist-info/entry_points.txt').decode()
  info = {n for n in names if n.startswith(f'{_NAME}.dist-info/')}
  assert names - info == _package()
  assert 'rmtl_jax/py.typed' in names
  assert f'{_NAME}.dist-info/licenses/LICENSE' in info
  assert 'rmtl = rmtl_jax.__main__:run' in points
  assert 'Requires-Python: >=3.11' in metadata.splitlines()

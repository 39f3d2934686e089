"""Code version and devices of a run."""

from __future__ import annotations

import contextlib
import importlib.metadata
import pathlib
import platform
import subprocess

import jax

_PACKAGES = (
  'rmtl-jax',
  'jax',
  'jaxlib',
  'flax',
  'optax',
  'orbax-checkpoint',
  'numpy',
  'pyarrow',
  'duckdb',
)


def versions() -> dict[str, str]:
  """Versions of Python and of the packages that numbers depend on."""
  found = {'python': platform.python_version()}
  for name in _PACKAGES:
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
      found[name] = importlib.metadata.version(name)
  return found


def device() -> str:
  """Number, platform and kind of the devices."""
  first = jax.devices()[0]
  return f'{jax.device_count()} x {first.platform} ({first.device_kind})'


def commit() -> str | None:
  """The git commit of this code, or None outside of a checkout."""
  root = pathlib.Path(__file__).parents[2]
  if not (root / '.git').exists():
    return None
  try:
    found = subprocess.run(
      ['git', '-C', str(root), 'rev-parse', 'HEAD'],
      capture_output=True,
      text=True,
      check=True,
    )
  except (OSError, subprocess.CalledProcessError):
    return None
  return found.stdout.strip()

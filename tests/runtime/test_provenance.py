"""What code and which devices have made a run's numbers."""

import re

import jax

from rmtl_jax.runtime import provenance


def test_versions_are_those_of_the_packages_that_are_here():
  found = provenance.versions()
  assert found['jax'] == jax.__version__
  assert {'python', 'numpy', 'flax', 'optax'} <= set(found)


def test_devices_are_counted():
  count = jax.device_count()
  assert provenance.device().startswith(f'{count} x {jax.default_backend()} (')


def test_the_commit_is_that_of_a_checkout():
  found = provenance.commit()
  assert found is None or re.fullmatch('[0-9a-f]{40}', found)

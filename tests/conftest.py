"""JAX in strict mode, as the launcher runs it; before anything imports it."""

import os
import tempfile

os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')
# Runs that build the same networks compile them once, whatever the number of
# workers: these inherit the variable from the process that starts them.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  _CACHE = tempfile.TemporaryDirectory(prefix='rmtl_jax_tests_')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _CACHE.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'

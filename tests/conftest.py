"""JAX in strict mode, as the launcher runs it; before anything imports it."""

import os
import subprocess
import sys
import tempfile


def _quick_flags() -> str:
  """XLA's flags with which tests compile in a quarter of the time.

  Their programs run for milliseconds; those of walks and notebooks for longer
  than they are compiled, so these do without. `XLA_FLAGS= pytest` compiles all
  as users do.
  """
  least = '--xla_backend_optimization_level=0'
  flags = f'{least} --xla_cpu_use_fusion_emitters=false'
  known = subprocess.run(  # XLA aborts on a flag that it does not know
    [sys.executable, '-c', 'import jax; jax.devices()'],
    env={**os.environ, 'XLA_FLAGS': flags},
    capture_output=True,
  )
  return flags if not known.returncode else least


os.environ.setdefault('JAX_NUMPY_RANK_PROMOTION', 'raise')
# Runs that build the same networks compile them once, whatever the number of
# workers: these inherit the variable from the process that starts them.
if 'PYTEST_XDIST_WORKER' not in os.environ:
  if 'XLA_FLAGS' not in os.environ:
    os.environ['XLA_FLAGS'] = _quick_flags()
  _CACHE = tempfile.TemporaryDirectory(prefix='rmtl_jax_tests_')
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _CACHE.name
os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0'
os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'


# The smoke tier: a bit of every room, and one run of all three stages.
_SMOKE = (
  *('ops/', 'test_types.py', 'test_json_files.py', 'config/test_values.py'),
  *(
    'data/test_batches.py',
    'data/test_columns.py',
    'preparation/raw/test_csv.py',
  ),
  *('evaluation/test_metrics.py', 'evaluation/test_significance.py'),
  'networks/test_layers.py',
  *('weighting/test_critic.py', 'weighting/test_factory.py'),
  'test_run.py::test_metrics_have_the_promised_keys',
  'serving/test_encoder.py',
)


# Half of all the time of tests: whole runs, studies, processes, and what is not
# in the core. `.ci/run` runs them behind the others.
_SLOW = (
  *('end_to_end/', 'studies/', 'faults/', 'contrib/'),
  *('results/test_ensemble.py', 'results/test_finetuned.py'),
  *('serving/test_exported.py', 'library/test_ranker.py'),
  *('library/test_start_from.py', 'library/test_refit.py'),
  *('runtime/test_mesh.py', 'networks/test_precision.py'),
  *('balancing/test_own_loop.py', 'benchmarks/test_accelerator.py'),
  'benchmarks/test_balancers.py::test_a_step_is_measured',
  *('updates/test_warm_start.py', 'training/test_warm_start.py'),
  'training/test_refit.py',
  *('server/test_processes.py', 'server/state/test_replay_events.py'),
  *(
    f'test_run.py::test_{name}'
    for name in (
      *('a_pass_goes_on_where', 'a_long_pass_is_saved', 'an_interrupted_run'),
      *('weighting_from_scratch', 'other_weightings', 'lambda_zero_is'),
      *('official_preset_runs', 'the_papers_model_beside', 'one_task'),
      *('settings_against_overfitting', 'each_setting_of_stage_1'),
      *('a_network_that_reads_numbers', 'stages_one_by_one', 'all_stages_'),
    )
  ),
  *('test_cli.py::test_own_table', 'test_cli.py::test_compare_writes'),
  *('training/test_compiling.py', 'training/test_own_parts.py'),
  'training/test_prune.py::test_a_pruned_ensemble',
  'results/test_report_record.py::test_what_was_measured',
  'documentation/test_pages.py::test_code_of_a_page_runs',
)


def pytest_collection_modifyitems(items):
  """Marks the tests of `pytest -m smoke` and of `pytest -m slow`."""
  for item in items:
    name = item.nodeid.removeprefix('tests/')
    if name.startswith(_SMOKE) and not item.get_closest_marker('long'):
      item.add_marker('smoke')
    elif name.startswith(_SLOW) and not item.get_closest_marker('long'):
      item.add_marker('slow')

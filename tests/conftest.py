"""JAX in strict mode, as the launcher runs it; before anything imports it."""

import os
import subprocess
import sys
import tempfile

import pytest


def _quick_flags() -> str:
  """XLA's flags with which tests compile in a quarter of the time.

  Their programs run for milliseconds; those of walks and notebooks for longer
  than they are compiled, so these do without. `XLA_FLAGS= pytest` compiles all
  as users do.
  """
  least = '--xla_backend_optimization_level=0'
  flags = (
    f'{least} --xla_cpu_use_fusion_emitters=false'
    # A program's parts in one module: 32, the default, each have LLVM's costs.
    ' --xla_cpu_parallel_codegen_split_count=1'
  )
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
  # `.ci/run` has one directory for all its calls of pytest.
  if 'RMTL_TESTS_CACHE' in os.environ:
    _DIRECTORY = os.environ['RMTL_TESTS_CACHE']
  else:
    _CACHE = tempfile.TemporaryDirectory(prefix='rmtl_jax_tests_')
    _DIRECTORY = _CACHE.name
  os.environ['JAX_COMPILATION_CACHE_DIR'] = _DIRECTORY
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


# Most of all the time of tests: whole runs, studies, processes, and what is not
# in the core. `.ci/run` runs them behind the others. Entries of long tables are
# marked by tests/tiers.py.
_SLOW = (
  *('end_to_end/', 'studies/', 'faults/', 'contrib/'),
  *('results/test_ensemble.py', 'results/test_finetuned.py'),
  *('serving/test_exported.py', 'library/test_ranker.py'),
  *('library/test_start_from.py', 'library/test_refit.py'),
  *('runtime/test_mesh.py', 'networks/test_precision.py'),
  'balancing/test_own_loop.py',
  'serving/test_ties.py::test_of_prepared_data',
  'serving/test_latency.py::test_small_requests_are_calibrated',
  'serving/test_kept.py::test_requests_see',
  'preparation/extending/test_extend_columns.py::test_columns_of_every',
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
  *('training/test_own_parts.py'),
  *(
    f'training/test_prune.py::test_{name}'
    for name in (
      *('a_pruned_ensemble', 'a_run_that_was_killed', 'a_stage_in_training'),
      *('partial_saves', 'a_damaged_stage', 'a_disk_that_refuses'),
      'the_command_takes',
    )
  ),
  *(
    f'training/test_actor_stage.py::test_{name}'
    for name in ('from_scratch_is', 'the_mean_weights')
  ),
  'training/test_balancing.py::test_a_state_resumes',
  *(
    f'training/test_critic_stage.py::test_{name}'
    for name in ('a_stage_that_was_cut_off', 'uniform_actions_are')
  ),
  *(
    f'results/test_report_record.py::test_{name}'
    for name in (
      *('what_was_measured', 'the_command_writes', 'points_are', 'weights_are'),
      *('without_its_data', 'a_run_that_has_not', 'damaged_files'),
    )
  ),
  *(
    f'library/test_importance.py::test_{name}'
    for name in ('from_a_run', 'bad_arguments')
  ),
  *(
    f'library/test_studies.py::test_{name}'
    for name in ('a_comparison_leaves', 'a_search_is_asked_for')
  ),
  'runtime/tracking/test_trackers.py::test_an_ensemble',
  *(
    f'serving/test_predictor.py::test_{name}'
    for name in ('an_ensemble_equals', 'numbers_by_their_quantiles')
  ),
  'serving/test_past.py::test_the_simulated_source',
  'server/state/test_replay.py::test_predictions_equal',
  'server/test_events.py::test_a_state_goes_on_after',
  'serving/test_scorer.py::test_threads_whose_models_take_the_past',
  'runtime/test_programs.py::test_a_cut_program',
  *(
    f'documentation/test_pages.py::test_{name}'
    for name in ('code_of_a_page_runs', 'the_site_builds')
  ),
  # Real logs, and whole preparations beside each other.
  'commands/test_init.py::test_real_logs',
  'preparation/sources/test_real_logs.py',
  'preparation/sources/test_table_events.py::test_as_the_reader_of_a_real',
  'preparation/extending/test_refusals.py::test_simulated_days',
  *(
    f'preparation/as_of/test_features_prepared.py::test_{name}'
    for name in ('order_threads_and_memory', 'a_source_with_label_times')
  ),
)


def pytest_collection_modifyitems(items):
  """Marks the tests of `pytest -m smoke` and of `pytest -m slow`."""
  for item in items:
    name = item.nodeid.removeprefix('tests/')
    if name.startswith(_SMOKE) and not item.get_closest_marker('long'):
      item.add_marker('smoke')
    elif name.startswith(_SLOW) and not item.get_closest_marker('long'):
      item.add_marker('slow')


@pytest.fixture(scope='module')
def data_dir(tmp_path_factory):
  """Tiny prepared data (tests/tiny.py); a module may have data of its own."""
  from tests import tiny

  path = tmp_path_factory.mktemp('data')
  tiny.write_prepared(path)
  return path


@pytest.fixture
def told_of_64_bits():
  """A process that has told JAX to compute in 64 bits."""
  import jax

  jax.config.update('jax_enable_x64', True)
  yield
  jax.config.update('jax_enable_x64', False)

"""`rmtl train`: what the command asks of a run."""

import pytest

from rmtl_jax import cli, run
from rmtl_jax.runtime import workdir
from tests import tiny


@pytest.mark.parametrize(
  ('argv', 'beside'),
  [
    ((), True),
    (('--preset=paper',), False),
    (('--data_dir=own',), False),
  ],
)
def test_a_first_run_also_trains_the_papers_model(
  tmp_path, monkeypatch, argv, beside
):
  """Where sessions are simulated, and nobody chose other settings."""
  asked = []

  def train(config, path, data_dir, *_, **__):
    asked.append(path.name)
    path.mkdir(parents=True, exist_ok=True)
    workdir.create(path, config, data_dir)
    return 0

  monkeypatch.chdir(tmp_path)
  monkeypatch.setattr(run, 'train', train)
  tiny.write_prepared(tmp_path / 'own')
  rows = () if '--data_dir=own' in argv else ('--simulated_rows=300',)
  argv = ('--workdir=run', *rows, *argv)
  assert cli.main(['rmtl', 'train', *argv]) == 0
  expected = ['paper', 'run'] if beside else ['run']
  assert asked == expected
  # The same command again, which resumes.
  assert cli.main(['rmtl', 'train', *argv]) == 0
  assert asked == expected * 2

"""Flags of `rmtl prepare` and `rmtl backtest` that a source does not read."""

from __future__ import annotations

import pytest

from rmtl_jax import cli

_TABLE = '--source=table --raw_dir=no --schema=no'


@pytest.mark.parametrize(
  ('line', 'flag', 'words'),
  [
    (_TABLE, '--simulated_rows=9', 'source table does not read it; leave'),
    # What a default says, and no --source: what counts is that it is there.
    ('--raw_dir=no', '--simulated_rows=300000', 'source table does not'),
    ('--source=rees46 --raw_dir=no', '--test_dir=no', 'rees46 does not read'),
    ('--source=simulated', '--schema=no', 'simulated does not read'),
    ('--source=simulated', '--raw_dir=no', 'source simulated reads no files'),
  ],
)
@pytest.mark.parametrize('command', ['prepare', 'backtest'])
def test_a_flag_that_the_source_does_not_read_is_refused(
  tmp_path, capsys, command, line, flag, words
):
  if command == 'backtest' and flag.startswith('--test_dir'):
    pytest.skip("splits are the backtest's own")
  places = {'prepare': 'data_dir', 'backtest': 'workdir'}
  place = f'--{places[command]}={tmp_path}/new'
  assert cli.main(['rmtl', command, *line.split(), place, flag]) == 2
  error = capsys.readouterr().err
  name = flag.split('=')[0].replace('--no', '--')
  assert error.startswith(f'rmtl: {name}: ') and error.count('\n') == 1
  assert words in error
  assert not [*tmp_path.iterdir()]

import pathlib
import subprocess

import pytest

from benchmarks import commits, logs


def test_ratios_are_those_of_pairs():
  before = [(0.1, 0.2), (0.4, 0.2), (0.2, 0.2)]
  after = [(0.2, 0.1), (0.4, 0.4), (0.1, 0.2)]
  found = commits.compared(before, after)
  assert [found[f'wall {one}'] for one in ('least', 'most')] == [0.5, 2.0]
  assert found['wall'] == found['cpu'] == 1.0
  assert found['wall ms before'] == pytest.approx(200)
  assert found['cpu ms after'] == pytest.approx(200)


def test_a_dispatch_goes_on_where_the_last_one_ended():
  dispatch = commits.dispatch_of('shared_bottom', 'small')
  steps = commits.SIZES['small'][2]
  assert [int(dispatch().step) for _ in range(2)] == [steps, 2 * steps]


def test_a_whole_command_is_timed(tmp_path):
  own = pathlib.Path(commits.__file__).parents[1]
  (wall, cpu), most = commits.command(own, ['help', 'train'], str(tmp_path))
  assert cpu > 0 and wall > 0 and most > 1


def test_a_command_that_fails_is_told(tmp_path):
  own = pathlib.Path(commits.__file__).parents[1]
  with pytest.raises(subprocess.CalledProcessError):
    commits.command(own, ['unheard'], str(tmp_path))


def test_preparation_is_timed_and_compared(tmp_path):
  own = pathlib.Path(commits.__file__).parents[1]
  logs.write_log(tmp_path, 600)
  found = commits.measure_prepare([own, own], tmp_path / 'csv', 1)
  assert found['same bytes']
  assert found['cpu ms before'] > 0 and found['wall ms after'] > 0

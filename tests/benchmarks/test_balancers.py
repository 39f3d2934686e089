import pytest

from benchmarks import balancers

TIMES = {
  balancers.FORWARD: [0.001, 0.002, 0.001],
  balancers.TOWERS: [0.002, 0.0025, 0.001],
  balancers.BOTH: [0.003, 0.004, 0.004],
  balancers.EQUAL: [0.004, 0.008, 0.005],
  balancers.OWN: [0.008, 0.008, 0.012],
}


def test_a_balancer_on_gradients_has_a_backward_pass_per_task():
  found = balancers.figures('gradnorm', 3, TIMES)
  assert found['backward'] == 3
  assert found['milliseconds'] == pytest.approx(8.0)
  # Pairs 2, 1 and 2.4; bounds 7, 8 and 10 ms.
  assert found['to_equal'] == pytest.approx(2.0)
  assert found['to_passes'] == pytest.approx(8 / 7)
  assert found['equal_to_passes'] == pytest.approx(4 / 3)


def test_groups_of_rows_have_passes_of_their_own():
  assert balancers.figures('sdmgrad', 3, TIMES)['backward'] == 6


def test_a_balancer_on_losses_has_one_backward_pass():
  found = balancers.figures('static', 3, TIMES)
  assert found['backward'] == 1
  assert found['to_passes'] == pytest.approx(8 / 3)


def test_losses_after_the_step_cost_a_forward_pass():
  found = balancers.figures('famo', 3, TIMES)
  assert (found['forward'], found['backward']) == (2, 1)
  # Bounds 4, 6 and 5 ms.
  assert found['to_passes'] == pytest.approx(2.0)


def test_at_a_representation_k_passes_go_through_towers_alone():
  found = balancers.at_representation(3, TIMES)
  # Of backward passes of 2, 2 and 3 ms towers take 1, 0.5 and 0.
  assert found['towers_of_backward'] == pytest.approx(0.25)
  # 1 + 3 + 2 of 1 + 6; 2 + 1.5 + 2 of 2 + 6; 1 + 0 + 3 of 1 + 9.
  assert found['passes_at_representation'] == pytest.approx(5.5 / 8)


def test_a_step_is_measured_beside_its_passes():
  (found,), _ = balancers.measure(['mgda'], 'shared_bottom', 2, 400, 1, 1)
  assert (found['forward'], found['backward']) == (1, 2)
  assert found['to_equal'] > 0.0 and found['cpu_to_passes'] > 0.0
  # Two weights, and the number of failures of its solver.
  assert found['state_mebibytes'] == pytest.approx(12 / 2**20)
  # Parameters, two moments and the gradient, 4 bytes each, at least.
  assert found['equal_mebibytes'] > 16 * 2e6 / 2**20
  assert found['mebibytes'] > 0.0

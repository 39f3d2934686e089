"""What an epoch's record says of its losses and weights, by hand."""

import pytest

from rmtl_jax.training import epoch_figures


def test_means_of_an_epoch_are_over_the_batches_that_have_the_task():
  # Two batches of 4 rows; one has no row of the second task.
  sums = {
    'rows': 8.0,
    'loss_0': 4.0,
    'loss_1': 3.6,
    'rows_0': 8.0,
    'rows_1': 4.0,
    'weight_0': 8.0,
    'weight_1': 6.0,
    'weight_square_0': 8.0,
    'weight_square_1': 10.0,
  }
  assert epoch_figures.mean_loss(sums, 2) == pytest.approx((0.5 + 0.9) / 2)
  assert epoch_figures.weight_statistics(sums, ('click', 'buy')) == {
    'weight_mean_click': 1.0,
    'weight_deviation_click': 0.0,
    'weight_mean_buy': 1.5,
    'weight_deviation_buy': 0.5,
  }
  none = {'rows': 4.0, 'loss_0': 0.0, 'rows_0': 0.0}
  assert epoch_figures.mean_loss(none, 1) == 0.0

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax.networks import experts, layers
from tests.networks import small


def test_gates_are_softmaxes_of_their_columns():
  logits = jnp.log(jnp.array([[1.0, 3.0, 2.0, 2.0, 4.0]]))
  first, second = experts.split_gates(logits, [2, 3])
  np.testing.assert_allclose(first, [[0.25, 0.75]], rtol=1e-6)
  np.testing.assert_allclose(second, [[0.25, 0.25, 0.5]], rtol=1e-6)


@pytest.mark.parametrize('form', ['separate', 'batched'])
def test_extraction_by_hand(form, monkeypatch):
  small.run_stacks(monkeypatch, form)

  # One own expert per task and one shared one, each a single number.
  def single(value):
    return layers.stack([jnp.array([[value]])])

  own, shared = [single(1.0), single(10.0)], single(100.0)
  gates = [
    jnp.array([[0.5, 0.5]]),
    jnp.array([[0.9, 0.1]]),
    jnp.array([[0.2, 0.3, 0.5]]),
  ]
  tasks, path = experts.extract(gates, own, [shared, single(200.0)], shared)
  np.testing.assert_allclose(tasks[0], [[50.5]])  # 0.5 1 + 0.5 100
  np.testing.assert_allclose(tasks[1], [[29.0]])  # 0.9 10 + 0.1 200
  np.testing.assert_allclose(path, [[53.2]], rtol=1e-6)  # 0.2 + 3 + 50
  _, nothing = experts.extract(gates[:2], own, [shared, shared], shared)
  assert nothing is None

"""Networks whose tasks have outputs of several widths."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rmtl_jax import types
from rmtl_jax.config import kinds
from rmtl_jax.networks import backbone_registry, from_settings, functional
from rmtl_jax.ops import task_losses
from tests import tiers
from tests.networks import small

NUMBERS = {
  'mean': 3.0,
  'deviation': 2.0,
  'zeros': 0.3,
  'largest': 40.0,
  'log_mean': 1.0,
  'log_deviation': 0.8,
  'deviance': 1.5,
}


def task(name, levels=(), shares=()):
  record = kinds.LOSSES[name]
  outputs = len(levels) - 1 if levels else record.units
  numbers = tuple(NUMBERS.items())
  return types.TaskLoss(
    name, record.kind, record.units, outputs, numbers, levels, shares
  )


LOSSES = (
  task('cross_entropy'),
  task('zero_inflated_log_normal'),
  task('cumulative_logits', (1.0, 2.0, 3.0, 5.0), (0.1, 0.4, 0.3, 0.2)),
  task('cross_entropy'),
  task('squared'),
  task('cross_entropy'),
)
# Two binary tasks imply the first.
PARENTS = (None, None, None, 0, None, 0)
SPEC = dataclasses.replace(
  small.spec(len(LOSSES)), losses=LOSSES, parents=PARENTS
)


@pytest.mark.parametrize(
  'backbone', tiers.some(backbone_registry.trained(), ('mmoe', 'esmm', 'aitm'))
)
def test_outputs_of_every_backbone(backbone, monkeypatch):
  network = from_settings.make_actor(SPEC, backbone, small.CONFIG)
  params = network.init(jax.random.key(1))
  inputs = small.inputs(SPEC)

  def loss(params):
    outputs = functional.apply(network, params, inputs)
    labels = jnp.ones((*outputs.shape[:2], len(LOSSES))).at[..., 2].set(3.0)
    losses = task_losses.row_losses(LOSSES, outputs, labels)
    return jnp.sum(losses), outputs

  gradient, outputs = jax.jit(jax.grad(loss, has_aux=True))(params)
  assert outputs.shape[-1] == sum(SPEC.outputs) == 10
  assert all(np.isfinite(g).all() for g in jax.tree.leaves(gradient))
  # Logits of being above a level fall; every threshold learns.
  logits = outputs[..., 4:7]
  assert np.all(np.diff(logits, axis=-1) < 0)
  assert np.all(gradient['thresholds']['2'] != 0)
  predictions = task_losses.predictions(LOSSES, outputs)
  assert predictions.shape[-1] == len(LOSSES)
  small.run_stacks(monkeypatch, 'batched')
  apply = functools.partial(functional.apply, network)
  assert jax.eval_shape(apply, params, inputs).shape == outputs.shape
  if backbone == 'esmm':
    children = np.asarray(predictions[..., [3, 5]])
    assert np.all(children <= np.asarray(predictions[..., :1]))

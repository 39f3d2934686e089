"""A training loop with any balancer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from rmtl_jax.balancing import balancer_registry, by_gram
from rmtl_jax.updates import weighted_grad
from rmtl_jax.weighting import relative

TASKS, ROWS, STEPS = 2, 8, 6
NAMES = [name for name, one in balancer_registry.RECORDS.items() if one.make]
_RNG = np.random.default_rng(0)
X = np.asarray(_RNG.normal(size=(ROWS, 3)), np.float32)
Y = np.asarray(_RNG.random((ROWS, TASKS)) < 0.4, np.float32)
Q = -np.asarray(_RNG.random((ROWS, TASKS)), np.float32)


def losses_of_rows(params, x, y):
  """Cross-entropies [rows, K] of a shared layer and a head per task."""
  hidden = jnp.tanh(x @ params['shared']['w'] + params['shared']['b'][None])
  logits = hidden @ params['heads']
  return jax.nn.softplus(logits) - y * logits


def init_params(key: jax.Array) -> Any:
  """As `losses_of_rows` takes them."""
  keys = jax.random.split(key)
  return {
    'shared': {
      'w': 0.5 * jax.random.normal(keys[0], (3, 4)),
      'b': jnp.zeros(4),
    },
    'heads': 0.5 * jax.random.normal(keys[1], (4, TASKS)),
  }


def _own() -> optax.GradientTransformationExtraArgs:
  """Weights by the inverse of the norms, a function of one's own."""

  def weights_of(gram, key):
    del key
    inverse = 1.0 / jnp.sqrt(jnp.diagonal(gram) + 1e-12)
    return TASKS * inverse / jnp.sum(inverse)

  return by_gram.from_gram(TASKS, weights_of)


OWN = balancer_registry.Balancer(
  'own', 'of one', acts_on=balancer_registry.GRADIENTS, make=lambda _: _own()
)


def find(name: str) -> balancer_registry.Balancer:
  """A record, `own` too."""
  return OWN if name == 'own' else balancer_registry.find(name)


def make_link(name: str) -> optax.GradientTransformationExtraArgs:
  """The balancer of 2 tasks; epochs have 2 steps."""
  record = find(name)
  assert record.make is not None
  return record.make(TASKS, **({'epoch_steps': 2} if record.by_epoch else {}))


def make_step(
  name: str,
) -> tuple[Callable[[Any], Any], Callable[..., tuple[Any, jax.Array]]]:
  """(init, step) of Adam behind a balancer, on the mean of two batches.

  init(params) -> carry; step(carry, key, x, y) -> (carry, mean loss). A carry
  is (params, state of the balancer, state of the optimizer).
  """
  record, link = find(name), make_link(name)
  adam = optax.MultiSteps(optax.adam(0.05), every_k_schedule=2)
  if record.acts_on == balancer_registry.LOSSES:
    chain = optax.chain(relative.scale_by_advantage(0.3), link)
    grad_fn = weighted_grad.value_and_weighted_grad(losses_of_rows, chain)

    def init(params):
      return params, chain.init(params), adam.init(params)

    def step(carry, key, x, y):
      params, state, opt_state = carry
      loss, gradient, new_state = grad_fn(
        params, state, x, y, q_values=jnp.asarray(Q),
        mask=jnp.ones(len(x), bool), key=key,
      )  # fmt: skip
      updates, opt_state = adam.update(gradient, opt_state, params)
      params = optax.apply_updates(params, updates)
      if record.observe is not None:
        after = jnp.mean(losses_of_rows(params, x, y), 0)
        new_state = (new_state[0], record.observe(new_state[1], after))
      return (params, new_state, opt_state), loss

    return init, step

  chain = optax.chain(link, adam.gradient_transformation())

  def init_chain(params):
    return params, *chain.init(params)

  def step_chain(carry, key, x, y):
    params, *state = carry

    def losses_of(params):
      return jnp.mean(losses_of_rows(params, x, y), 0)

    losses = losses_of(params)
    # They sum to the gradient of the mean over tasks.
    gradients = jax.tree.map(
      lambda leaf: leaf / losses.size, jax.jacrev(losses_of)(params)
    )
    updates, state = chain.update(
      gradients,
      tuple(state),
      params,
      key=key,
      losses=losses,
    )
    return (optax.apply_updates(params, updates), *state), jnp.mean(losses)

  return init_chain, step_chain


def run(name: str, x: Any, y: Any, seed: int = 0) -> tuple[Any, np.ndarray]:
  """Every step's carry and mean loss, the step jitted once."""
  init, step = make_step(name)
  jitted = jax.jit(step)
  carry, carries, losses = init(init_params(jax.random.key(seed))), [], []
  for key in jax.random.split(jax.random.key(seed + 1), STEPS):
    carry, loss = jitted(carry, key, x, y)
    carries.append(carry)
    losses.append(float(loss))
  assert jitted._cache_size() == 1, name  # pyright: ignore[reportAttributeAccessIssue]
  return carries, np.array(losses)

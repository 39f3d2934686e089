"""RMTL's weights in a training loop of one's own: plain Flax and Optax.

python experiments/examples/foreign_model.py
"""

import jax
import jax.numpy as jnp
import optax
from flax import nnx

import rmtl_jax

# 64 sessions of 8 rows, 16 features, 2 tasks; and a model that is not ours.
keys, rngs = jax.random.split(jax.random.key(0), 3), nnx.Rngs(0)
x = jax.random.normal(keys[0], (64, 8, 16))
chances = jax.nn.sigmoid(x @ jax.random.normal(keys[1], (16, 2)))
labels = jax.random.bernoulli(keys[2], chances).astype(jnp.float32)
layers = nnx.Linear(16, 32, rngs=rngs), nnx.relu, nnx.Linear(32, 2, rngs=rngs)
graph, params = nnx.split(nnx.Sequential(*layers))


def losses_of_rows(params):  # f32[64, 8, 2]
  logits = nnx.merge(graph, params)(x)
  return optax.sigmoid_binary_cross_entropy(logits, labels)


def q_of_rows(losses, discount=0.95):  # what a critic would learn to foresee
  def add(after, loss):
    q = discount * after - loss
    return q, q

  by_slot = losses.swapaxes(0, 1)
  _, q = jax.lax.scan(add, jnp.zeros_like(by_slot[0]), by_slot, reverse=True)
  return q.swapaxes(0, 1)


weighting = optax.chain(rmtl_jax.scale_by_critic(lambda_=0.7))
weighted_grad = rmtl_jax.value_and_weighted_grad(losses_of_rows, weighting)
optimizer = optax.adam(1e-2)


@jax.jit
def step(params, opt_state, weighting_state):
  loss, gradient, weighting_state = weighted_grad(
    params, weighting_state, q_values=q_of_rows
  )
  updates, opt_state = optimizer.update(gradient, opt_state)
  params = optax.apply_updates(params, updates)
  return params, opt_state, weighting_state, loss


state = params, optimizer.init(params), weighting.init(params)
for number in range(101):
  *state, loss = step(*state)
  if number % 50 == 0:
    print(f'step {number}: loss {loss:.3f}')

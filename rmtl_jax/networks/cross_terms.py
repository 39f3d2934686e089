"""A term in each task's logit for every pair of two fields' categories.

The affinity of a user's segment to an item's category depends on both, and
small networks hardly learn it from some thousands of rows: their first layer
adds terms of single fields. A crossed field has a term per pair of categories:
the cross-product transformation of wide and deep models (Cheng et al., DLRS
2016, arXiv:1606.07792). Its terms start at zero, so that a pair without rows
adds nothing, and early stopping keeps those of few rows small.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import cross_pairs
from rmtl_jax.networks import functional

# The group of its parameters in a network's.
NAME = 'crosses'
# A term is so many times its parameter: a step of Adam moves a number by up to
# its learning rate, and most pairs are in few batches.
STEP = 3.0


class Crosses(nnx.Module):
  """The terms of a list of pairs of fields.

  Attributes:
    pairs: places of both fields among the categorical ones.
    terms_<first>_<second>: over STEP, f32[rows of one, rows of the other, K];
      the places name it.
  """

  def __init__(self, spec: types.FeatureSpec, crosses: str):
    self.pairs = cross_pairs.places(spec, crosses)
    sizes = spec.categorical
    for first, second in self.pairs:
      shape = (sizes[first], sizes[second], spec.num_tasks)
      setattr(self, _name(first, second), nnx.Param(jnp.zeros(shape)))

  def __call__(self, inputs: types.Inputs) -> jax.Array:
    """One lane, inputs [T] -> f32[T, K]."""
    terms = [getattr(self, _name(*pair))[...] for pair in self.pairs]
    # One look-up in all terms below each other: it compiles sooner than many.
    joined = jnp.concatenate([x.reshape(-1, x.shape[2]) for x in terms])
    categorical, start, at = jnp.asarray(inputs.categorical), 0, []
    for (first, second), x in zip(self.pairs, terms, strict=True):
      row = jnp.clip(categorical[:, first], 0, x.shape[0] - 1)
      column = jnp.clip(categorical[:, second], 0, x.shape[1] - 1)
      at.append(row * x.shape[1] + column + start)
      start += x.shape[0] * x.shape[1]
    found = jnp.take(joined, jnp.stack(at, axis=1), axis=0, mode='clip')
    return jnp.sum(found, axis=1) * STEP


def _name(first: int, second: int) -> str:
  return f'terms_{first}_{second}'


def places_of(names: Sequence[str]) -> tuple[int, int] | None:
  """The places of the two fields that a leaf of parameters crosses."""
  if NAME not in names:
    return None
  _, first, second = names[-1].split('_')
  return int(first), int(second)


def wrap(
  network: functional.Network,
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
) -> functional.Network:
  """The actor with the terms added to its towers' outputs.

  Returns:
    The same with a group of parameters `crosses`.
  """
  init_terms, bind, _ = functional.from_module(
    lambda rngs: Crosses(spec, config.crosses)
  )

  def rest(params: functional.Params) -> functional.Params:
    return {name: leaf for name, leaf in params.items() if name != NAME}

  def init(key: jax.Array) -> functional.Params:
    return {**network.init(key), NAME: init_terms(key)}

  def share(params: functional.Params, inputs: types.Inputs) -> Any:
    return network.share(rest(params), inputs)

  def lane(params, shared, inputs, *, dropout_key=None):
    outputs = network.lane(
      rest(params), shared, inputs, dropout_key=dropout_key
    )
    terms = bind(params[NAME])(inputs)
    if sum(spec.units) == spec.num_tasks:
      return outputs + terms
    # A task's first output is its main one.
    return outputs.at[:, jnp.array(spec.first_units)].add(terms)

  return network._replace(init=init, share=share, lane=lane)

"""Lists of the user's earlier items: fields with the item's own embeddings.

A multi-valued field that shares the item's vocabulary (the as-of group
`history`) has no rows of its own in the table of embeddings: it reads those of
the item, and they learn from it. Row 0 stands for no item: prepared data has it
where a list is empty, id-dropout where it takes an item away.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import values as config_values
from rmtl_jax.networks import layers, precision, session


def fields(spec: types.FeatureSpec) -> tuple[int, ...]:
  """Which multi-valued fields are histories of the item."""
  if spec.item is None:
    return ()
  return tuple(i for i, owner in enumerate(spec.shares) if owner == spec.item)


def check(config: config_lib.NetworkConfig) -> None:
  """Raises InputError unless the encoder exists."""
  config_values.check('network.history_encoder', config.history_encoder)


class TargetAttention(session.AttentionUnit):
  """Attention of the row's item over its user's history (DIN).

  The scores are those of `session.TargetAttention`, softmax included.
  """

  def __call__(
    self, items: jax.Array, history: jax.Array, seen: jax.Array
  ) -> jax.Array:
    """The history as each row's item sees it; zero where it is empty.

    Args:
      items: embeddings of the rows' items, f32[T, D].
      history: embeddings of their histories, f32[T, H, D].
      seen: which entries are items, bool[T, H].

    Returns:
      f32[T, D].
    """
    rows, width, dim = history.shape
    for_query, for_key, for_product = layers.unstack(self.kernel[...])
    query = precision.product(items, for_query) + self.bias[...][None, :]
    # A sum of three, of which the query's has T rows: no [T, H, 3 D].
    flat = history.reshape(rows * width, dim)
    products = (history * items[:, None, :]).reshape(rows * width, dim)
    pairs = precision.product(flat, for_key)
    pairs = pairs + precision.product(products, for_product)
    hidden = jax.nn.relu(pairs.reshape(rows, width, -1) + query[:, None, :])
    scores = jnp.sum(hidden * self.score[...][None, None, :, 0], axis=2)
    weights = session.weights(scores, seen)
    return jnp.einsum('th,thd->td', weights, history)

"""Lists of earlier values: fields with the embeddings of another field.

A multi-valued field that shares a categorical field's vocabulary (the as-of
group `history`, a sequence of a user's own) has no rows of its own in the table
of embeddings: it reads those of its owner, the item or its category, and they
learn from it. Row 0 stands for no value: prepared data has it where a list is
empty, id-dropout where it takes a value away.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from rmtl_jax import types
from rmtl_jax.networks import layers, precision, session


def fields(spec: types.FeatureSpec) -> tuple[int, ...]:
  """Which multi-valued fields share the vocabulary of another field."""
  owners = enumerate(spec.vocabulary_owners)
  return tuple(i for i, owner in owners if owner is not None)


class TargetAttention(session.AttentionUnit):
  """Attention of the row's value over its user's history of such (DIN).

  Of items, the row's item; of their categories, its category. The scores are
  those of `session.TargetAttention`, softmax included.
  """

  def __call__(
    self, items: jax.Array, history: jax.Array, seen: jax.Array
  ) -> jax.Array:
    """The history as each row's value sees it; zero where it is empty.

    Args:
      items: embeddings of the rows' own values, f32[T, D].
      history: embeddings of their histories, f32[T, H, D].
      seen: which entries are values, bool[T, H].

    Returns:
      f32[T, D].
    """
    rows, width, dim = history.shape
    for_query, for_key, for_product = layers.unstack(self.kernel[...])
    query = precision.product(items, for_query) + self.bias[...][None, :]
    # The kernel in three parts: side by side, the inputs would be [T, H, 3 D].
    flat = history.reshape(rows * width, dim)
    products = (history * items[:, None, :]).reshape(rows * width, dim)
    pairs = precision.product(flat, for_key)
    pairs = pairs + precision.product(products, for_product)
    hidden = jax.nn.relu(pairs.reshape(rows, width, -1) + query[:, None, :])
    scores = jnp.sum(hidden * self.score[...][None, None, :, 0], axis=2)
    weights = session.weights(scores, seen)
    return jnp.einsum('th,thd->td', weights, history)

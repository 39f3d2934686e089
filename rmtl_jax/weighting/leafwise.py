"""Extra arguments of a weighting belong to its row losses, or are refused.

Broadcasting would accept a wrong shape silently: values per row
[3] would weigh the tasks of losses [3, 3].
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from rmtl_jax import types

# Extra arguments of one number per row and task.
PER_TASK = ('q_values', 'labels', 'sample_weight')


def update(
  link: Callable[..., Any],
  updates: Any,
  named: Sequence[str],
  extra: Mapping[str, Any],
) -> Any:
  """Calls `link` with each leaf of the cotangent and what belongs to it.

  Args:
    link: link(leaf, **extra) -> leaf times weights.
    updates: the cotangent of the row losses, an array [..., K] or a pytree of
      such.
    named: extra arguments that `link` uses, and that are checked for it.
    extra: PER_TASK and `mask` are pytrees like `updates`; a `mask` that is
      one array is that of all leaves. Others are handed on as they are.

  Returns:
    As `updates`, in its dtypes.

  Raises:
    ValueError: an argument is another pytree or of another shape than the row
      losses, or `link` returns another shape.
  """
  leaves, structure = jax.tree.flatten(updates)
  by_leaf = {
    name: split(name, extra[name], leaves, structure)
    for name in (*PER_TASK, 'mask')
    if name in named and name in extra
  }
  new_leaves = []
  for i, leaf in enumerate(leaves):
    own = {name: values[i] for name, values in by_leaf.items()}
    new_leaf = link(leaf, **{**extra, **own})
    if np.shape(new_leaf) != np.shape(leaf):
      raise ValueError(
        f'weighted row losses: expected their own shape, {np.shape(leaf)},'
        f' found {np.shape(new_leaf)}'
      )
    # The pullback takes a cotangent of the dtype of the losses alone.
    new_leaves.append(new_leaf.astype(leaf.dtype))
  return structure.unflatten(new_leaves)


def check_mask(values: types.Array, mask: types.Array) -> None:
  """Raises ValueError unless `mask` has one number per row of [..., K]."""
  if not values.ndim or np.shape(mask) != values.shape[:-1]:
    raise ValueError(
      'mask: expected the shape of the row losses [..., K] without their last'
      f' axis, that of tasks; found {np.shape(mask)} for {values.shape}'
    )


def check_tasks(values: types.Array, task_weights: types.Array) -> None:
  """Raises ValueError unless the last axis of [..., K] has K weights."""
  if values.shape[-1:] != task_weights.shape[-1:]:
    raise ValueError(
      f'weights: expected one per task, the last axis of {values.shape}, found'
      f' {task_weights.shape[-1]}'
    )


def split(
  name: str, value: Any, leaves: Sequence[types.Array], structure: Any
) -> list[Any]:
  """An extra argument as one array per leaf of the row losses.

  Args:
    name: `mask` or one of PER_TASK.
    value: a pytree like that of the row losses; one array is a mask of all.
    leaves: of the row losses or their cotangent, [..., K] each.
    structure: of their pytree.

  Returns:
    Arrays in the order of `leaves`.

  Raises:
    ValueError: another pytree, or an array of another shape.
  """
  if name == 'mask' and hasattr(value, 'shape'):
    found = [value] * len(leaves)
  else:
    found, own_structure = jax.tree.flatten(value)
    if own_structure != structure:
      raise ValueError(
        f'{name}: expected {_words(structure)} like the row losses, found'
        f' {_words(own_structure)}'
      )
  for array, leaf in zip(found, leaves, strict=True):
    if name == 'mask':
      check_mask(leaf, array)
    elif np.shape(array) != np.shape(leaf):
      raise ValueError(
        f'{name}: expected the shape of the row losses, {np.shape(leaf)},'
        f' found {np.shape(array)}'
      )
  return found


def _words(structure: Any) -> str:
  return (
    'an array' if jax.tree_util.treedef_is_leaf(structure) else str(structure)
  )

"""Categories replaced by row 0 in training, so that row 0 learns.

Row 0 encodes missing, unseen and rare values. If all values of the train rows
have their own rows, it is never trained, and its initial value decides
over every row with a new user or item. Replacing some ids by it, as dropout
replaces units by 0, trains it on typical rows.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from rmtl_jax import types
from rmtl_jax.config import limits
from rmtl_jax.networks import dropout, embeddings
from rmtl_jax.ops import hashing

# Masks of units are numbered from 0 on; these share keys with none of them.
_FIRST_MASK = 2**20


def rates(setting: str, spec: types.FeatureSpec) -> tuple[float, ...]:
  """The rate of every field.

  Args:
    setting: NetworkConfig.id_dropout: a number, or `field=rate,...`.
    spec: the data's fields; `names` where the setting names some.

  Returns:
    One rate per categorical, then per multi-valued field, 0 <= rate < 1. A
    field with another's vocabulary has a rate above 0 only by its own
    name: its row 0 is that field's, and needs no training here.

  Raises:
    types.InputError: names an invalid rate or field.
  """
  if '=' not in setting:
    rate = _rate(setting, setting)
    return (rate,) * len(spec.categorical) + tuple(
      rate if owner is None else 0.0 for owner in embeddings.owners(spec)
    )
  found = dict.fromkeys(spec.names, 0.0)
  for part in setting.split(','):
    name, _, rate = part.strip().partition('=')
    if name not in found:
      raise types.InputError(
        f'config.network.id_dropout: {name!r} is not a field of the data'
        f' ({", ".join(found)})'
      )
    found[name] = _rate(rate, setting)
  return tuple(found.values())


def _rate(text: str, setting: str) -> float:
  rate = limits.number(text)
  if not 0.0 <= rate < 1.0:
    raise types.InputError(
      f'config.network.id_dropout: {setting!r:.80} is not a rate below 1, or'
      ' FIELD=RATE,...'
    )
  return rate


def drop(
  key: jax.Array,
  inputs: types.Inputs,
  spec: types.FeatureSpec,
  field_rates: tuple[float, ...],
) -> types.Inputs:
  """Replaces categories by row 0.

  Args:
    key: the batch's dropout key.
    inputs: leading dimensions [L, T].
    field_rates: of `rates`.

  Returns:
    The inputs with each category replaced with its field's probability; a
    multi-valued field's values one by one, unused slots never. In a history,
    row 0 counts as no item (`embeddings.histories`).
  """
  if not any(field_rates):
    return inputs
  # One mask per column over the whole batch, by the same hash as dropout's.
  slots = [width for _, width in spec.multi_valued]
  width = len(spec.categorical) + sum(slots)
  lead = inputs.categorical.shape[:-1]
  salts = hashing.salts(key, _FIRST_MASK, width)
  per_column = np.repeat(
    np.array(field_rates), [1] * len(spec.categorical) + slots
  )
  kept = jnp.stack(
    [
      dropout.keep(salts[i], (int(np.prod(lead)), 1), float(rate)).reshape(lead)
      for i, rate in enumerate(per_column)
    ],
    axis=-1,
  )
  single, multi = jnp.split(kept, [len(spec.categorical)], axis=-1)
  return inputs._replace(
    categorical=jnp.where(single, inputs.categorical, 0),
    multi_valued=jnp.where(
      multi | (inputs.multi_valued < 0), inputs.multi_valued, 0
    ),
  )

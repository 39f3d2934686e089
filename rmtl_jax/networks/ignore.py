"""The fields that networks read: all but those of NetworkConfig.ignore.

Data are prepared once with all features; which of them a model reads is then a
setting, which can be compared and searched. A network that ignores fields is
the network for data that lack them, to the last bit: it has no parameters for
them, and their columns of the inputs are never read. With
binned_fields=numbers it is the network for data that have the numbers of
data/binned.py in place of the binned fields. A number that train lacks in some
rows (NaN) is two numbers to them: its value, or 0, and whether it is missing.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import cross_pairs
from rmtl_jax.networks import embeddings, id_dropout

# Every field of every group of as-of features.
ALL_GROUPS = 'asof'


class View(NamedTuple):
  """The features that a network reads.

  Attributes:
    spec: of the fields that are seen.
    categorical: their columns in Inputs.categorical.
    multi_valued: their slots in Inputs.multi_valued.
    numeric: their columns in Inputs.numeric.
    derived: additional numbers, of all categorical fields.
    missing: places among the seen numbers of those with a further number, 1
      where a row has no value (NaN), else 0; NaN itself is read as 0, the mean.
  """

  spec: types.FeatureSpec
  categorical: np.ndarray
  multi_valued: np.ndarray
  numeric: np.ndarray
  derived: tuple[types.Derived, ...] = ()
  missing: tuple[int, ...] = ()

  def narrow(self, inputs: types.Inputs, xp: Any = jnp) -> types.Inputs:
    """The inputs without the columns that are not seen, with the derived.

    Args:
      inputs: rows.
      xp: numpy or jax.numpy, which computes.
    """
    numeric = _columns(inputs.numeric, self.numeric, xp)
    indicators = ()
    if self.missing:
      absent = xp.isnan(numeric)
      numeric = xp.where(absent, 0.0, numeric)
      indicators = (absent[..., np.array(self.missing)].astype(xp.float32),)
    if self.derived:
      made = _numbers(self.derived, inputs.categorical, xp)
      numeric = xp.concatenate([numeric, made], axis=-1)
    numeric = xp.concatenate([numeric, *indicators], axis=-1)
    return inputs._replace(
      categorical=_columns(inputs.categorical, self.categorical, xp),
      multi_valued=_columns(inputs.multi_valued, self.multi_valued, xp),
      numeric=numeric,
    )

  def widen(self, narrow: types.Inputs, inputs: types.Inputs) -> types.Inputs:
    """The inputs with the visible columns replaced.

    Args:
      narrow: what came of `narrow`, categories changed.
      inputs: what `narrow` was given.
    """
    return inputs._replace(
      categorical=_placed(
        inputs.categorical, self.categorical, narrow.categorical
      ),
      multi_valued=_placed(
        inputs.multi_valued, self.multi_valued, narrow.multi_valued
      ),
    )


def fields(
  setting: str, spec: types.FeatureSpec, what: str = 'config.network.ignore'
) -> frozenset[str]:
  """The names of the fields that are ignored.

  Raises:
    types.InputError: a name that is no field's and no group's (near matches
      are listed).
  """
  known = {name: (name,) for name in (*spec.names, *spec.numeric_names)}
  every = tuple(name for _, names in spec.groups for name in names)
  # A field is meant before a group of its name.
  known = {**dict(spec.groups), ALL_GROUPS: every, **known}
  found: set[str] = set()
  for name in setting.split('+') if setting else ():
    if name not in known:
      raise types.InputError(_unknown(name, known, what))
    found.update(known[name])
  return frozenset(found)


def shown(setting: str, spec: types.FeatureSpec) -> np.ndarray:
  """1 for each column of inputs that is seen, 0 for hidden ones, f32[C].

  Args:
    setting: NetworkConfig.hide.

  Raises:
    types.InputError: as for `fields`.
  """
  gone = _hidden(setting, spec)
  widths = [1] * len(spec.categorical)
  widths += [width for _, width in spec.multi_valued]
  names = np.repeat(spec.names, widths) if spec.names else np.zeros(sum(widths))
  names = [*names, *(spec.numeric_names or [''] * spec.numeric)]
  return np.array([name not in gone for name in names], np.float32)


def unseen(
  config: config_lib.NetworkConfig, spec: types.FeatureSpec
) -> frozenset[str]:
  """The names of the fields that a network ignores or hides."""
  return fields(config.ignore, spec) | _hidden(config.hide, spec)


def _hidden(setting: str, spec: types.FeatureSpec) -> frozenset[str]:
  return fields(
    '' if setting == 'none' else setting, spec, 'config.network.hide'
  )


def _unknown(name: str, known: Iterable[str], what: str) -> str:
  near = difflib.get_close_matches(name, list(known), n=3)
  hint = f'did you mean {" or ".join(near)}?' if near else ', '.join(known)
  if ',' in name:
    hint = f'names are joined by +; {hint}'
  return (
    f'{what}: {name!r:.80} is neither a field of the data nor a'
    f' group of as-of features ({hint})'
  )


def view(
  spec: types.FeatureSpec,
  config: config_lib.NetworkConfig,
  reads_nan: bool = False,
) -> View | None:
  """The view of the networks, or None if they read everything.

  Args:
    config: `ignore`, and what else reads fields.
    reads_nan: whether the network itself handles missing numbers.

  Raises:
    types.InputError: as for `fields`, or nothing is left.
  """
  gone = unseen(config, spec)
  if config.has_shown and not reads_nan:
    gone = fields(config.ignore, spec)
  derived = ()
  if config.binned_fields == 'numbers':
    derived = tuple(
      one for one in spec.derived if gone.isdisjoint(_names(one, spec))
    )
    ranks = [one for one in derived if len(one.places) == 1]
    derived += tuple(one.given() for one in ranks)
    gone |= {name for one in ranks for name in _names(one, spec)}
  if not gone and not derived and (reads_nan or not spec.missing):
    return None
  count = len(spec.categorical)
  single = _kept(spec.names[:count], count, gone)
  multi = _kept(spec.names[count:], len(spec.multi_valued), gone)
  numeric = _kept(spec.numeric_names, spec.numeric, gone)
  if not (single or multi or numeric or derived):
    raise types.InputError(
      f'config.network.ignore: {config.ignore!r:.80} leaves no field'
    )
  slots = np.cumsum([0, *(width for _, width in spec.multi_valued)])
  indicated = tuple(
    n for n, i in enumerate(numeric) if i in spec.missing and not reads_nan
  )
  seen = dataclasses.replace(
    spec,
    categorical=tuple(spec.categorical[i] for i in single),
    multi_valued=tuple(spec.multi_valued[i] for i in multi),
    numeric=len(numeric) + len(derived) + len(indicated),
    names=tuple(name for name in spec.names if name not in gone),
    vocabulary_owners=_owners(spec, single, multi),
    numeric_names=(
      *(n for n in spec.numeric_names if n not in gone),
      *(one.name for one in derived),
    ),
    quantiles=_quantiles(spec, numeric, derived, len(indicated)),
    missing=(),
    groups=tuple(
      (group, tuple(n for n in names if n not in gone))
      for group, names in spec.groups
    ),
    distinct=tuple(spec.distinct[i] for i in single if spec.distinct),
    pretrained=tuple(
      one._replace(place=single.index(one.place))
      for one in spec.pretrained
      if one.place in single
    ),
    derived=(),
  )
  return View(
    seen,
    np.array(single, np.int32),
    np.array(
      [s for i in multi for s in range(slots[i], slots[i + 1])], np.int32
    ),
    np.array(numeric, np.int32),
    derived,
    indicated,
  )


def without(
  config: config_lib.NetworkConfig, spec: types.FeatureSpec, seen: View
) -> config_lib.NetworkConfig:
  """The settings for data that have the seen fields alone.

  Args:
    config: for all fields; rates of id-dropout may name any of them.
    spec: all fields.
    seen: what `view` made of both.

  Raises:
    types.InputError: id_dropout names no field, or no rate.
  """
  rates = id_dropout.rates(config.id_dropout, spec)
  new_rates = config.id_dropout
  if '=' in new_rates:
    by_name = dict(zip(spec.names, rates, strict=True))
    named = [f'{name}={by_name[name]}' for name in seen.spec.names]
    new_rates = ','.join(named) or '0'
  gone = set(spec.names) - set(seen.spec.names)
  return dataclasses.replace(
    config,
    ignore='',
    hide='',
    id_dropout=new_rates,
    binned_fields='categories',
    crosses=cross_pairs.without(config.crosses, gone),
  )


def _names(one: types.Derived, spec: types.FeatureSpec) -> list[str]:
  return [spec.names[place] for place in one.places]


def _kept(names: Sequence[str], count: int, gone: frozenset[str]) -> list[int]:
  """Places of the fields that stay; a field without a name does."""
  return [i for i in range(count) if gone.isdisjoint(names[i : i + 1])]


def _owners(
  spec: types.FeatureSpec, single: list[int], multi: list[int]
) -> tuple[int | None, ...]:
  """FeatureSpec.vocabulary_owners of the fields that stay."""
  owners = [embeddings.owners(spec)[i] for i in multi]
  for i, owner in zip(multi, owners, strict=True):
    if owner is not None and owner not in single:
      name = spec.names[len(spec.categorical) + i]
      raise types.InputError(
        f'config.network.ignore: {spec.names[owner]!r} has the embeddings of'
        f' {name!r}; ignore both'
      )
  if set(owners) <= {None}:
    return ()
  return tuple(None if o is None else single.index(o) for o in owners)


def _quantiles(
  spec: types.FeatureSpec,
  numeric: Sequence[int],
  derived: Sequence[types.Derived],
  indicators: int,
) -> tuple[tuple[float, ...], ...]:
  """FeatureSpec.quantiles of the seen numbers; indicators have none."""
  if not spec.quantiles and not derived:
    return ()
  known = spec.quantiles or ((),) * spec.numeric
  return (
    *(known[i] for i in numeric),
    *(one.quantiles for one in derived),
    *((),) * indicators,
  )


def _numbers(
  derived: Sequence[types.Derived], categorical: types.Array, xp: Any
) -> types.Array:
  """The derived numbers of categories i32[..., F], f32[..., derived].

  One look-up for all, in their tables below each other: a program that has one
  per field takes longer to compile.
  """
  # Row 0 for a number without a second field.
  table, parts = [0.0], max(len(one.places) for one in derived)
  place, start, size = np.zeros((3, len(derived), parts), np.int32)
  size[:] = 1
  for n, one in enumerate(derived):
    fields = zip(one.places, one.values, strict=True)
    for part, (field, values) in enumerate(fields):
      place[n, part], start[n, part] = field, len(table)
      table += [0.0, *values, 0.0]
      size[n, part] = len(values) + 2
  rows = xp.asarray(categorical)[..., place]
  start, last = xp.broadcast_arrays(start, size - 1, rows)[:2]
  rows = xp.clip(rows, 0, last) + start
  found = xp.take(xp.asarray(table, xp.float32), rows, mode='clip')
  return xp.sum(found, axis=-1)


def _columns(values: types.Array, index: np.ndarray, xp: Any) -> types.Array:
  """Columns of [..., n], by constant indices."""
  if len(index) == values.shape[-1]:
    return values
  return xp.asarray(values)[..., index]


def _placed(
  values: types.Array, index: np.ndarray, new: types.Array
) -> types.Array:
  """[..., n] with the columns at constant indices replaced."""
  if len(index) == values.shape[-1]:
    return new
  return jnp.asarray(values).at[..., index].set(new)

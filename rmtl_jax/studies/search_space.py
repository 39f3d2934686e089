"""The search space of `rmtl tune`: `setting=low:high[:log]` or `a|b|c`."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

from rmtl_jax import config as config_lib
from rmtl_jax import types
from rmtl_jax.config import cross_pairs, limits, presets, variants
from rmtl_jax.config import values as config_values
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.networks import ignore
from rmtl_jax.studies import methods


def _all(name: str) -> str:
  """The dimension with every value of a setting."""
  return f'{name}={"|".join(config_values.choices(name))}'


# The default space, by the last stage that is trained.
_ALWAYS = {
  'pretrain': (
    'network.dropout=0.0:0.5',
    'pretrain.learning_rate=1e-4:1e-2:log',
    'pretrain.l2=1e-8:1e-4:log',
  ),
  'finetune': (
    'critic.discount=0.0|0.5|0.9|0.95|0.99',
    'finetune.learning_rate=1e-5:3e-3:log',
    'weighting.lambda_=0.1:2.0',
  ),
}
# In stage 1 also: where the data has categorical fields (embeddings) ...
_OF_CATEGORIES = (
  'network.embedding_scale=0.003:1.0:log',
  'network.id_dropout=0|0.1|0.2|0.3|0.5',
  'pretrain.embedding_l2=1e-7:1e-2:log',
)
# ... where it has an item field: an encoder of the session so far ...
_OF_ITEMS = (_all('network.session_encoder'),)
# Settings of a value that the data says: as given, as recommended and as in the
# paper, which has none of them. Pairs of fields ...
_CROSSES = 'network.crosses'
# ... how numeric fields are read, and fields that were cut into bins.
_OF_NUMBERS, _OF_BINS = 'network.numeric_encoding', 'network.binned_fields'
# Settings that gained in our measurements (experiments/results/recipes, and
# docs/results.md for the first). A search tries these points first, with all
# other settings as given.
START_POINTS = (
  {
    'network.binned_fields': 'numbers',
    'network.numeric_encoding': 'piecewise',
  },
  {
    'network.embedding_scale': 0.1,
    'pretrain.embedding_l2': 1e-3,
  },
  {
    'network.embedding_scale': 0.3,
    'pretrain.embedding_l2': 1e-3,
    'network.session_encoder': 'mean',
  },
  {
    'network.id_dropout': '0.2',
    'network.session_encoder': 'target_attention',
  },
)
# Where an epoch has fewer steps, lanes are a dimension: large batches leave
# a small log too few updates before early stopping.
_FEW_STEPS = 50
# Significant digits of sampled numbers: more would only look precise.
_DIGITS = 3


class Dimension(NamedTuple):
  """One dimension of the search space.

  Attributes:
    name: 'group.field'.
    choices: the values, or () for a range.
    low: lower bound of a range, inclusive.
    high: upper bound, inclusive.
    log: whether the range is sampled in the logarithm.
  """

  name: str
  choices: tuple[Any, ...] = ()
  low: float = 0.0
  high: float = 0.0
  log: bool = False


def defaults(
  stage: str, base: config_lib.Config, manifest: manifest_lib.Manifest
) -> tuple[str, ...]:
  """The default space for some data, without what it can't use, for `parse`.

  Args:
    stage: the last stage of a trial, 'pretrain' or 'finetune'.
    base: the given settings, of one model or of an ensemble; fields that they
      ignore stay ignored.

  Raises:
    types.InputError: `base` ignores an unknown field.
  """
  space = _ALWAYS[stage]
  if stage != 'pretrain':
    return space
  spec = manifest.feature_spec()
  ignored = [
    ignore.unseen(one.network, spec) for one in variants.of_members(base)
  ]
  used = [
    field
    for field in manifest.fields
    if not all(field.name in names for names in ignored)
  ]
  if any(field.kind != 'numeric' for field in used):
    space += _OF_CATEGORIES
  # A member that ignores the item can't read it.
  item = manifest.item_field
  if item and not any(item in names for names in ignored):
    space += _OF_ITEMS
  names: tuple[str, ...] = (_CROSSES,)
  if any(field.kind == 'numeric' for field in used):
    names += (_OF_NUMBERS,)
  if any(field.is_binned for field in used):
    names += (_OF_BINS,)
  seen = {field.name for field in used}
  space += _as_recommended(names, base, manifest, seen)
  choices = _ignore_choices(base, manifest)
  if len(choices) > 1:
    space += (f'network.ignore={"|".join(choices)}',)
  lanes = _lane_choices(base.batch, manifest.splits['train'].rows)
  if len(lanes) > 1:
    space += (f'batch.lanes={"|".join(map(str, lanes))}',)
  return space


def _as_recommended(
  names: Sequence[str],
  base: config_lib.Config,
  manifest: manifest_lib.Manifest,
  seen: Collection[str],
) -> tuple[str, ...]:
  """Dimensions of settings that are recommended for the data, or given.

  Choices that differ in fields that no member sees are one.
  """
  gone = {field.name for field in manifest.fields} - {*seen}
  given, best, plain = map(
    config_values.flatten,
    (base, presets.start(manifest), config_lib.Config()),
  )
  space: tuple[str, ...] = ()
  for name in names:
    choices: dict[Any, Any] = {}
    for value in (given[name], best[name], plain[name]):
      read = cross_pairs.without(value, gone) if name == _CROSSES else value
      choices.setdefault(read, value)
    # A bar in a field's name would part it.
    fitting = [
      value
      for value in choices.values()
      if '|' not in value and _fits(base, name, value)
    ]
    if len(fitting) > 1:
      space += (f'{name}={"|".join(fitting)}',)
  return space


def _fits(base: config_lib.Config, name: str, value: Any) -> bool:
  """Whether no other setting of any member forbids the value."""
  try:
    variants.of_members(config_values.with_settings(base, {name: value}))
  except types.InputError:
    return False
  return True


def _lane_choices(batch: config_lib.BatchConfig, rows: int) -> list[int]:
  """Choices of batch.lanes: as given; where steps are few also 1/4 and 1/16."""
  if rows >= _FEW_STEPS * batch.lanes * batch.lane_length:
    return [batch.lanes]
  fewer = dict.fromkeys(max(batch.lanes // n, 1) for n in (1, 4, 16))
  return [lanes for lanes in fewer if lanes % batch.readers == 0]


def _ignore_choices(
  base: config_lib.Config, manifest: manifest_lib.Manifest
) -> list[str]:
  """Choices of network.ignore: as given, or more of it ignored.

  One as-of group more, or all of them; the ids of the user, of the item (with
  the histories that share its embeddings), or of both.
  """
  spec, given = manifest.feature_spec(), base.network.ignore
  ignored = ignore.fields(given, spec)
  sizes = {field.name: field.size for field in manifest.fields}
  groups = {
    group: names
    for group, names in spec.groups
    # A vocabulary of size 1 has row 0 only: its field is constant.
    if any(sizes[name] != 1 for name in names if name not in ignored)
  }
  if len(groups) > 1:
    groups[ignore.ALL_GROUPS] = tuple(
      n for _, names in spec.groups for n in names
    )
  # `ignore` prefers a field to a group of the same name: then all fields of the
  # group are named instead.
  words = [
    '+'.join(names) if group in sizes else group
    for group, names in groups.items()
  ]
  # What shares an id's embeddings can't be read without it.
  ids = [
    '+'.join(
      f.name
      for f in manifest.fields
      if key in (f.name, f.vocabulary_owner) and f.name not in ignored
    )
    for key in (manifest.user_field, manifest.item_field)
    if key is not None and key not in ignored and sizes[key] != 1
  ]
  words += [*ids, '+'.join(ids)] if len(ids) > 1 else ids
  choices = [f'{given}+{word}' if given else word for word in words]
  # A model needs at least one field.
  return [
    given,
    *(c for c in choices if len(ignore.fields(c, spec)) < len(sizes)),
  ]


def parse(text: str, base: config_lib.Config) -> Dimension:
  """Reads one dimension.

  Args:
    text: `setting=low:high`, `setting=low:high:log` or `setting=a|b|c`.

  Raises:
    types.InputError: names the dimension and the part that is wrong.
  """
  name, _, values = text.strip().partition('=')
  label = f'search {text!r:.80}'

  def read(value: str) -> Any:
    found = methods.setting(label, f'{name}={value}', base)[1]
    limits.check(f'{label}: {name}', found, config_values.kind(name))
    return found

  if '|' in values:
    choices = tuple(map(read, values.split('|')))
    if any(isinstance(choice, tuple) for choice in choices):
      raise types.InputError(
        f'{label}: {name} is a list, which no search varies; compare such'
        ' methods: rmtl compare --methods=ple:network.bottom_units=256-128,...'
      )
    return Dimension(name, choices=choices)
  low, *rest = values.split(':')
  if len(rest) not in (1, 2) or rest[1:] not in ([], ['log']):
    raise types.InputError(
      f'{label}: expected SETTING=LOW:HIGH[:log] or SETTING=A|B|...'
    )
  ends = [read(low), read(rest[0])]
  if any(type(end) not in (int, float) for end in ends):
    raise types.InputError(
      f'{label}: {name} is no number: name A|B|... instead'
    )
  if not ends[0] < ends[1] or (rest[1:] and ends[0] <= 0):
    raise types.InputError(
      f'{label}: expected LOW < HIGH'
      + (', and LOW > 0 for a logarithm' if rest[1:] else '')
    )
  return Dimension(name, (), ends[0], ends[1], bool(rest[1:]))


def check(space: Sequence[Dimension], manifest: manifest_lib.Manifest) -> None:
  """Raises InputError if the space ignores an unknown field."""
  for d in space:
    if d.name == 'network.ignore':
      for choice in d.choices:
        ignore.fields(choice, manifest.feature_spec())


def suggest(
  trial: Any,
  space: Sequence[Dimension],
  base: config_lib.Config,
  spec: types.FeatureSpec,
) -> dict[str, Any]:
  """Samples a point of the space.

  Returns:
    {'group.field': value} of the settings that differ from `base`. A point that
    ignores the item has nothing that reads it, whatever was sampled.
  """
  flat = config_values.flatten(base)
  values: dict[str, Any] = {}
  for d in space:
    if d.choices:
      values[d.name] = trial.suggest_categorical(d.name, d.choices)
    elif isinstance(flat[d.name], int):
      values[d.name] = trial.suggest_int(
        d.name, int(d.low), int(d.high), log=d.log
      )
    else:
      sampled = trial.suggest_float(d.name, d.low, d.high, log=d.log)
      # Rounding may leave the range at its ends.
      rounded = float(f'{sampled:.{_DIGITS}g}')
      values[d.name] = min(max(rounded, d.low), d.high)
  gone = ignore.fields(values.get('network.ignore', ''), spec)
  if spec.item is not None and spec.names[spec.item] in gone:
    values['network.session_encoder'] = 'none'
  return {k: v for k, v in values.items() if v != flat[k]}


def start_points(
  space: Sequence[Dimension], base: config_lib.Config
) -> list[dict[str, Any]]:
  """Projects START_POINTS on the space.

  Returns:
    Different points with a value for every dimension, for
    `optuna.Study.enqueue_trial`: that of the start point if the dimension has
    it, else the given value or the nearest one.
  """
  flat = config_values.flatten(base)
  points: list[dict[str, Any]] = []
  for start in START_POINTS:
    # A value outside of the space says nothing about its nearest neighbour, so
    # the given one stands in; a point without any value left is dropped.
    inside = {
      d.name: start[d.name]
      for d in space
      if d.name in start and _nearest(d, start[d.name]) == start[d.name]
    }
    point = {
      d.name: _nearest(d, inside.get(d.name, flat[d.name])) for d in space
    }
    if inside and point not in points:
      points.append(point)
  return points


def _nearest(d: Dimension, value: Any) -> Any:
  if d.choices:
    return value if value in d.choices else d.choices[0]
  return type(value)(min(max(value, d.low), d.high))

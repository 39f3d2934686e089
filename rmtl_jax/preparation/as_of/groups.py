"""Groups of as-of features: which a log supports, and the fields they make.

DuckDB (rmtl_jax.preparation.as_of.as_of_features) or Spark computes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from rmtl_jax import types
from rmtl_jax.config import prepare_settings
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import source
from rmtl_jax.preparation.as_of import feedback as asof_feedback
from rmtl_jax.preparation.as_of import history
from rmtl_jax.preparation.as_of import rates as asof_rates
from rmtl_jax.preparation.as_of import recency as asof_recency
from rmtl_jax.preparation.as_of import slates as asof_slates
from rmtl_jax.preparation.as_of import tastes as asof_tastes
from rmtl_jax.preparation.as_of import window_features as asof_windows

BINS = 32
PREFIX = 'asof_'
KEYS = {'user': 'a user', 'item': 'an item'}
# Groups of users' rows with items, and groups with a part per key.
PAIRED = ('views', history.GROUP)
KEYED = ('counts', 'rates')
RATED = ('rates', asof_tastes.GROUP)
# Groups of rates, which start from train's.
LABELLED = (*RATED, 'feedback')
# Inputs of groups besides session and time: the row's user and item, its
# labels, the log's numbers, the values of fields.
OF_KEYS, OF_LABELS = 'keys', 'labels'
OF_NUMBERS, OF_VALUES = 'numbers', 'values'
_READS = {
  'gap': (),
  'position': (),
  'views': (OF_KEYS,),
  'counts': (OF_KEYS,),
  'rates': (OF_KEYS, OF_LABELS),
  asof_recency.GROUP: (OF_KEYS, OF_LABELS),
  asof_tastes.GROUP: (OF_KEYS, OF_LABELS, OF_VALUES),
  'feedback': (OF_LABELS,),
  history.GROUP: (OF_KEYS,),
  asof_slates.GROUP: (OF_NUMBERS,),
}
# Short reasons for left-out groups.
_NO_TIMES = 'no label times'
_ONE_VALUE, _OVERLAP = 'one value in train', 'splits overlap in time'


def reads(groups: Iterable[str]) -> set[str]:
  """Inputs of groups: some of OF_KEYS to OF_VALUES."""
  return {part for group in groups for part in _READS[group]}


@dataclasses.dataclass(frozen=True)
class Supported:
  """Supported groups, warnings, and reasons for left-out groups.

  Attributes:
    groups: what to compute.
    warnings: what is not, though it was asked for.
    left_out: what is not and was not asked for, and why.
    numbers: names of the numbers that `slate` compares.
    rate_keys: whose label rates are made.
    user_labels: whether a user's rows may know earlier labels of that user.
    tastes: names of the fields that `tastes` is made by.
  """

  groups: tuple[str, ...]
  warnings: tuple[str, ...]
  left_out: dict[str, str]
  numbers: tuple[str, ...] = ()
  rate_keys: tuple[str, ...] = ()
  user_labels: bool = True
  tastes: tuple[str, ...] = ()

  @property
  def binned(self) -> tuple[str, ...]:
    """The groups of numbers: all but the histories."""
    return tuple(group for group in self.groups if group != history.GROUP)


def find_supported(
  rows: source.SourceTable,
  rate_keys: Collection[str],
  config: prepare_settings.PrepareConfig,
  slates: asof_slates.Found | None = None,
  tastes: Sequence[str] = (),
) -> Supported:
  """Finds the groups that the options name and the log supports.

  Args:
    rate_keys: as in sessions.RowPlaces.
    config: `as_of`.
    slates: what the log's sessions are, where `looks_at_slates`.
    tastes: the fields that differ within users, where `looks_at_tastes`.

  Returns:
    The groups. `all` leaves out those that the log can't support, and `counts`
    and `rates` the part of a user or an item that it lacks, with a warning;
    `auto` does so without one, and leaves out groups with a field's name.

  Raises:
    types.InputError: a named group needs a user, an item or label times that
      the log lacks, or a field has the name of a feature.
  """
  made = tuple(KEYS) if 'rates' in config.as_of else tuple(rate_keys)
  groups: list[str] = []
  warnings: list[str] = []
  left_out: dict[str, str] = {}
  for group in prepare_settings.as_of_groups(config):
    auto = prepare_settings.is_auto(config, group)
    lack = _missing_input(rows, group)
    if looks_at_slates(rows, config, group):
      lack = _missing_slates(slates)
    if group == asof_tastes.GROUP and not (lack or tastes):
      why = 'needs a field that differs within users, and the log has none'
      lack = _Lack('no field differs within users', why)
    if group in RATED and not lack:
      rated = {*rows.key_columns} if group == 'rates' else {'user'}
      # Rates of train rows would count earlier labels of test rows.
      if group not in config.as_of and not rated & {*rate_keys}:
        lack = _Lack(_OVERLAP, 'needs splits that follow each other in time')
      elif group in config.as_of and rated - {*rate_keys}:
        warnings.append(
          f'as_of: {group!r} of train rows count labels of other splits, as'
          ' splits overlap in time'
        )
    taken = _taken_name(rows, group) if not lack else ''
    if lack and group in config.as_of:
      raise types.InputError(f'as_of: {group!r} {lack.long}')
    if taken and not auto:
      raise types.InputError(
        f'as_of: {group!r} makes a field {taken!r}, and the log has one; give'
        ' that another name'
      )
    if taken:
      left_out[group] = f'the log has a field {taken!r}'
    elif lack and auto:
      left_out[group] = lack.short
    elif lack:
      warnings.append(f'as_of: {group!r} is left out: it {lack.long}')
    else:
      groups.append(group)
      told = rate_keys if group == asof_recency.GROUP else made
      for part, why in _missing_parts(rows, group, told).items():
        if auto:
          left_out[f'{group} of {part}'] = why.short
        else:
          warnings.append(f'as_of: {group!r} leaves out {why.long}')
  compared = tuple(field.name for field in asof_slates.fields_of(rows))
  if slates is not None:
    compared = slates.numbers
  return Supported(
    *(tuple(groups), tuple(warnings), left_out, compared, made),
    user_labels='user' in rate_keys,
    tastes=tuple(tastes),
  )


def looks_at_slates(
  rows: source.SourceTable,
  config: prepare_settings.PrepareConfig,
  group: str = asof_slates.GROUP,
) -> bool:
  """Whether the log's sessions decide what a group compares, if anything."""
  return (
    group == asof_slates.GROUP
    and group in prepare_settings.as_of_groups(config)
    and group not in config.as_of
    and _missing_input(rows, group) is None
  )


def looks_at_tastes(
  rows: source.SourceTable, config: prepare_settings.PrepareConfig
) -> bool:
  """Whether the log's rows decide by which fields `tastes` is made."""
  wanted = asof_tastes.GROUP in prepare_settings.as_of_groups(config)
  return wanted and _missing_input(rows, asof_tastes.GROUP) is None


@dataclasses.dataclass(frozen=True)
class _Lack:
  """What the log lacks: in a word or two, and as the end of a sentence."""

  short: str
  long: str


def _missing_input(rows: source.SourceTable, group: str) -> _Lack | None:
  """The input of a group that the log lacks; None if none."""
  if group == asof_slates.GROUP:
    return _missing_for_slates(rows)
  if not rows.has_time:
    return _Lack('no time', 'needs a time, and the log has none')
  lacking = _lacking(rows)
  if group in PAIRED and lacking:
    key, why = next(iter(lacking.items()))
    return _Lack(f'no {key}', f'needs {KEYS[key]}, and {why}')
  if group in (asof_recency.GROUP, asof_tastes.GROUP) and 'user' in lacking:
    return _Lack('no user', f'needs a user, and {lacking["user"]}')
  if group == history.GROUP and rows.item_field is None:
    why = 'no categorical field of the log is the item'
    return _Lack('no item field', f'needs the embeddings of items, and {why}')
  if group in KEYED and len(lacking) == len(KEYS):
    whys = ', and '.join(lacking.values())
    needed = ' or '.join(KEYS.values())
    return _Lack(f'no {" or ".join(KEYS)}', f'needs {needed}, and {whys}')
  if group == 'feedback' and not asof_feedback.feedback_names(rows.rated_tasks):
    return _Lack(
      _NO_TIMES,
      'needs a task with a time at which its labels become known, and the log'
      ' has none; in a schema, set "known_after_seconds" of a task',
    )
  return None


def check_slates(
  fields: Iterable[manifest_lib.Field], numbers: Collection[str]
) -> None:
  """Refuses features of the group `slate` that can't be computed.

  Args:
    fields: of a manifest, which anybody may have written.
    numbers: names of the log's own numbers.

  Raises:
    types.InputError: names the first.
  """
  for field in fields:
    if field.details.get('as_of') != asof_slates.GROUP:
      continue
    number = field.details.get(asof_slates.NUMBER)
    known = [number] if isinstance(number, str) and number in numbers else []
    expected = asof_slates.details(known).get(field.name.removeprefix(PREFIX))
    if expected is None or not expected.items() <= field.details.items():
      raise types.InputError(
        f'manifest.json: fields: {field.name!r}: no such as-of feature; prepare'
        ' the data again'
      )


def _missing_for_slates(rows: source.SourceTable) -> _Lack | None:
  if not asof_slates.fields_of(rows):
    return _Lack('no number', 'compares numbers, and the log has none')
  if not (rows.has_session or (rows.has_user and rows.has_time)):
    return _Lack('no session', 'needs sessions, and the log has none')
  return None


def _missing_slates(found: asof_slates.Found | None) -> _Lack | None:
  """The reason why sessions are not slates."""
  if found is None or not found.at_once:
    return _Lack(
      'rows come one by one',
      'needs sessions that are shown at once: rows of one second, or of which'
      " exactly one is positive; the log's are not",
    )
  if not found.numbers:
    return _Lack(
      'no number differs',
      'compares numbers within a session, and none differs there',
    )
  return None


def _missing_parts(
  rows: source.SourceTable, group: str, rate_keys: Collection[str]
) -> dict[str, _Lack]:
  """The parts of a group that the log can't support: keys or tasks."""
  if group in KEYED:
    parts = {
      f'{key}s': _Lack(f'no {key}', f"the {key}'s: {why}")
      for key, why in _lacking(rows).items()
    }
    told = rows.key_columns.keys() - {*rate_keys} if group == 'rates' else ()
    return parts | {
      f'{key}s': _Lack(_OVERLAP, f"the {key}'s: {_OVERLAP}") for key in told
    }
  if group == asof_recency.GROUP and 'user' not in rate_keys:
    why = f"the user's positives: {_OVERLAP}"
    timed = asof_recency.gap_names(rows.binary_tasks)
    return {'positives': _Lack(_OVERLAP, why)} if timed else {}
  if group in ('feedback', asof_recency.GROUP):
    tasks = rows.rated_tasks if group == 'feedback' else rows.binary_tasks
    names = ', '.join(asof_feedback.tasks_without_label_time(tasks))
    why = f'{names}: it is unknown when such labels become known'
    return {names: _Lack(_NO_TIMES, why)} if names else {}
  return {}


def _lacking(rows: source.SourceTable) -> dict[str, str]:
  """The keys that the log lacks, and why."""
  return {
    key: f'the log has no column of {key}s'
    for key in KEYS
    if key not in rows.key_columns
  }


def rated_keys(
  rows: source.SourceTable, groups: Collection[str], tastes: Iterable[str]
) -> list[asof_rates.Key]:
  """The keys of the rates of groups, `tastes` by these fields."""
  found = []
  if 'rates' in groups:
    found += map(asof_rates.Key, rows.key_columns)
  if asof_tastes.GROUP in groups:
    found += asof_tastes.keys_of(rows, tastes)
  return found


def window_of(field: source.SourceField) -> str:
  """Of which earlier rows an as-of feature is.

  Returns:
    `session`, `user`, `item` or `pair`.

  Raises:
    types.InputError: there is no such feature.
  """
  if key := field.details.get('key'):  # of rates
    return str(key)
  if field.details['as_of'] == history.GROUP:
    return 'user'
  window = asof_windows.named(field.column.removeprefix(PREFIX))
  if window is None and field.details['as_of'] != asof_slates.GROUP:
    raise types.InputError(
      f'field {field.name!r}: no such as-of feature; prepare the data again'
    )
  return window.window if window else 'session'


def _names(rows: source.SourceTable, group: str) -> list[str]:
  """Names of a group's fields, without PREFIX."""
  if group == history.GROUP:
    return [group]
  if group in RATED:
    fields = [field.name for field in asof_tastes.fields_of(rows)]
    rated = rated_keys(rows, (group,), fields)
    return asof_rates.rate_names(rated, rows.rated_tasks)
  if group == 'feedback':
    return asof_feedback.feedback_names(rows.rated_tasks)
  if group == asof_slates.GROUP:
    return asof_slates.names([f.name for f in asof_slates.fields_of(rows)])
  if group == asof_recency.GROUP:
    timed = asof_recency.gap_names(rows.binary_tasks)
    return [f.name for f in asof_windows.features_of(rows, (group,))] + timed
  return [feature.name for feature in asof_windows.features_of(rows, (group,))]


def _taken_name(rows: source.SourceTable, group: str) -> str:
  """The first field of a group with the name of a field of the log, or ''."""
  taken = {field.name.lower() for field in rows.fields}
  names = (PREFIX + name for name in _names(rows, group))
  return next((name for name in names if name.lower() in taken), '')


def declare(
  rows: source.SourceTable,
  supported: Supported,
  config: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """Adds what is supported to the result's options, warnings and fields.

  Of the fields the histories alone, which `encode` computes.
  """
  options = dict(rows.options)
  if supported.groups:
    options['as_of'] = list(supported.groups)
  fields = rows.fields
  if history.GROUP in supported.groups:
    assert rows.item_field is not None
    items = config.history_items
    options['history_items'] = items
    name = PREFIX + history.GROUP
    fields += (history.history_field(name, rows.item_field, items),)
  return dataclasses.replace(
    rows,
    fields=fields,
    options=options,
    warnings=rows.warnings + supported.warnings,
    as_of_left_out=supported.left_out,
  )


def binned_fields(
  rows: source.SourceTable,
  supported: Supported,
  details: Mapping[str, Mapping[str, Any]],
) -> tuple[source.SourceField, ...]:
  """The fields of what is supported, but of histories."""
  return tuple(
    source.SourceField(
      PREFIX + name,
      'numeric',
      transform='bins',
      bins=BINS,
      details={'as_of': group, **details.get(name, {})},
    )
    for group in supported.binned
    for name in _names(rows, group)
    if group not in (asof_slates.GROUP, asof_tastes.GROUP) or name in details
    if group != 'rates' or details[name]['key'] in supported.rate_keys
    if group != asof_recency.GROUP
    or supported.user_labels
    or name not in details
  )


def without_fields(
  rows: source.SourceTable, names: Sequence[str]
) -> source.SourceTable:
  """Leaves out as-of features that have one value over all train rows.

  Returns:
    The result without them; a group without fields is not in its options.
  """
  if not names:
    return rows
  fields = tuple(field for field in rows.fields if field.name not in names)
  left = {field.details.get('as_of') for field in fields}
  gone = [group for group in rows.options['as_of'] if group not in left]
  options = dict(rows.options)
  options['as_of'] = [g for g in options['as_of'] if g not in gone]
  if not options['as_of']:
    del options['as_of']
  if history.GROUP in gone:
    del options['history_items']
  said = gone + [
    field.name
    for field in rows.fields
    if field.name in names and field.details['as_of'] not in gone
  ]
  return dataclasses.replace(
    rows,
    fields=fields,
    options=options,
    as_of_left_out=rows.as_of_left_out | dict.fromkeys(said, _ONE_VALUE),
  )

"""Groups of as-of features: which a log supports, and the fields they make.

DuckDB (rmtl_jax.preparation.as_of.as_of_features) or Spark computes them.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
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
PREFIX = source.AS_OF_PREFIX
KEYS = ('user', 'item')
# Groups of users' rows with items, and groups with a part per key.
PAIRED = ('views', history.GROUP)
KEYED = ('counts', 'rates')
RATED = ('rates', asof_tastes.GROUP)
# Groups of rates, which start from train's.
LABELLED = (*RATED, 'feedback')
# Groups that read no user and no item.
OF_SESSIONS = ('gap', 'position', 'feedback', asof_slates.GROUP)
# Reasons why groups are left out.
_NO_TIMES = 'no label times'
_ONE_VALUE, _OVERLAP = 'one value in train', 'splits overlap in time'


@dataclasses.dataclass(frozen=True)
class Plan:
  """What to compute.

  Attributes:
    groups: some of prepare_settings.AS_OF.
    idle_ms: the idle time after which a label counts as known.
    numbers: names of the log's numbers that `slate` compares.
    tastes: names of the fields that `tastes` is made by.
    rate_keys: keys by which rows may know earlier labels (see
      sessionize.RowPlaces).
    train: each task's prior rate; that of the train rows if None.
  """

  groups: tuple[str, ...]
  idle_ms: int
  numbers: Sequence[str] = ()
  tastes: Sequence[str] = ()
  rate_keys: Sequence[str] = KEYS
  train: Sequence[float] | None = None


def features(
  rows: source.SourceTable, plan: Plan, train: Sequence[float] | None = None
) -> dict[str, dict[str, Any]]:
  """The features of a plan: details for the manifest, by name without PREFIX.

  Args:
    train: each task's prior rate, which some details have.
  """
  tasks, found = rows.rated_tasks, {}
  train = train or [0.0] * len(tasks)
  for group in plan.groups:
    if group in RATED:
      keys = rated_keys(rows, dataclasses.replace(plan, groups=(group,)))
      made = asof_rates.details(keys, tasks, train)
    elif group == 'feedback':
      made = asof_feedback.details(tasks, train)
    elif group == asof_slates.GROUP:
      made = asof_slates.details(plan.numbers)
    elif group == history.GROUP:
      made = {group: {}}
    else:
      made = {f.name: {} for f in asof_windows.features_of(rows, (group,))}
      if group == asof_recency.GROUP:
        made |= asof_recency.details(positives(rows, plan))
    found |= {name: {'as_of': group} | own for name, own in made.items()}
  return found


def rated_keys(rows: source.SourceTable, plan: Plan) -> list[asof_rates.Key]:
  """The keys of the rates of a plan."""
  found = []
  if 'rates' in plan.groups:
    keys = [key for key in rows.key_columns if key in plan.rate_keys]
    found += map(asof_rates.Key, keys)
  if asof_tastes.GROUP in plan.groups:
    found += asof_tastes.keys_of(rows, plan.tastes)
  return found


def positives(
  rows: source.SourceTable, plan: Plan
) -> tuple[source.SourceTask, ...]:
  """The tasks of the positives of `recency`."""
  is_wanted = asof_recency.GROUP in plan.groups and 'user' in plan.rate_keys
  return tuple(rows.binary_tasks) if is_wanted else ()


def find_supported(
  rows: source.SourceTable,
  rate_keys: Collection[str],
  config: prepare_settings.PrepareConfig,
  find_slates: Callable[[], asof_slates.Found],
  find_tastes: Callable[[], Sequence[str]],
) -> tuple[Plan, dict[str, str]]:
  """Plans the groups that the options name and the log supports.

  Args:
    rate_keys: as in sessionize.RowPlaces.
    config: `as_of` and `idle_minutes`; a label of unknown time counts once its
      session has been idle for so long.
    find_slates: looks at the log's sessions; called where these decide what is
      compared, if anything.
    find_tastes: finds the fields that differ within users.

  Returns:
    The plan, and why other groups, or parts of groups (of a user or an item
    that the log lacks, say), are left out.

  Raises:
    types.InputError: a named group needs what the log lacks.
  """
  numbers = [field.name for field in asof_slates.fields_of(rows)]
  idle_ms = round(config.idle_minutes * 60_000)
  plan = Plan((), idle_ms, numbers, rate_keys=tuple(rate_keys))
  left_out: dict[str, str] = {}
  for group in prepare_settings.as_of_groups(config):
    lack = _lack(rows, group)
    if group in RATED and not lack:
      rated = {*rows.key_columns} if group == 'rates' else {'user'}
      # Rates of train rows would count earlier labels of test rows.
      lack = '' if rated & {*rate_keys} else _OVERLAP
    if group == asof_slates.GROUP and not lack and group not in config.as_of:
      slates = find_slates()
      plan = dataclasses.replace(plan, numbers=slates.numbers)
      if not slates.at_once:
        lack = 'rows come one by one'
      elif not slates.numbers:
        lack = 'no number differs'
    if group == asof_tastes.GROUP and not lack:
      plan = dataclasses.replace(plan, tastes=find_tastes())
      lack = '' if plan.tastes else 'no field differs within users'
    if lack and group in config.as_of:
      hint = '; set "known_after_seconds" of a task' * (lack == _NO_TIMES)
      raise types.InputError(f'as_of: {group!r} cannot be made: {lack}{hint}')
    if lack:
      left_out[group] = lack
      continue
    plan = dataclasses.replace(plan, groups=(*plan.groups, group))
    for part, why in _missing_parts(rows, group, rate_keys).items():
      left_out[f'{group} of {part}'] = why
  return plan, left_out


def recorded_plan(
  manifest: manifest_lib.Manifest,
  idle_ms: int,
  groups: Iterable[str],
  tasks: Sequence[source.SourceTask],
) -> Plan:
  """The plan of features that prepared data has.

  Args:
    groups: of the features to compute; others are left out.
    tasks: the rated ones.

  Raises:
    types.InputError: the manifest does not say how features were made.
  """
  return Plan(
    tuple(dict.fromkeys(groups)),
    idle_ms,
    asof_slates.compared(f for f in manifest.fields if 'as_of' in f.details),
    asof_tastes.recorded(manifest.fields),
    train=asof_rates.recorded(manifest, tasks),
  )


def _lack(rows: source.SourceTable, group: str) -> str:
  """The input of a group that the log lacks; '' if none."""
  if group == asof_slates.GROUP:
    if not asof_slates.fields_of(rows):
      return 'no number'
    has_session = rows.has_session or (rows.has_user and rows.has_time)
    return '' if has_session else 'no session'
  if not rows.has_time:
    return 'no time'
  lacking = _lacking(rows)
  if group in PAIRED and lacking:
    return f'no {lacking[0]}'
  if group in (asof_recency.GROUP, asof_tastes.GROUP) and 'user' in lacking:
    return 'no user'
  if group == history.GROUP and rows.item_field is None:
    return 'no item field'
  if group in KEYED and len(lacking) == len(KEYS):
    return f'no {" or ".join(KEYS)}'
  if group == 'feedback' and not source.with_label_time(rows.rated_tasks):
    return _NO_TIMES
  return ''


def _missing_parts(
  rows: source.SourceTable, group: str, rate_keys: Collection[str]
) -> dict[str, str]:
  """The parts of a group that the log can't support, and why: keys or tasks."""
  if group in KEYED:
    parts = {f'{key}s': f'no {key}' for key in _lacking(rows)}
    told = rows.key_columns.keys() - {*rate_keys} if group == 'rates' else ()
    return parts | {f'{key}s': _OVERLAP for key in told}
  if group not in ('feedback', asof_recency.GROUP):
    return {}
  tasks = rows.rated_tasks if group == 'feedback' else rows.binary_tasks
  if group == asof_recency.GROUP and 'user' not in rate_keys:
    return {'positives': _OVERLAP} if source.with_label_time(tasks) else {}
  untimed = ', '.join(task.name for task in tasks if not task.has_label_time)
  return {untimed: _NO_TIMES} if untimed else {}


def _lacking(rows: source.SourceTable) -> list[str]:
  """The keys that the log lacks."""
  return [key for key in KEYS if key not in rows.key_columns]


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


def declare(
  rows: source.SourceTable,
  plan: Plan,
  left_out: dict[str, str],
  config: prepare_settings.PrepareConfig,
) -> source.SourceTable:
  """Adds what is planned to the result's options and fields.

  Of the fields the histories alone, which `encode` computes.
  """
  options = dict(rows.options)
  if plan.groups:
    options['as_of'] = list(plan.groups)
  fields = rows.fields
  if history.GROUP in plan.groups:
    assert rows.item_field is not None
    items = config.history_items
    options['history_items'] = items
    name = PREFIX + history.GROUP
    fields += (history.history_field(name, rows.item_field, items),)
  return dataclasses.replace(
    rows, fields=fields, options=options, as_of_left_out=left_out
  )


def binned_fields(
  made: Mapping[str, dict[str, Any]],
) -> tuple[source.SourceField, ...]:
  """The fields of `features`, but of histories."""
  return tuple(
    source.SourceField(
      PREFIX + name, 'numeric', transform='bins', bins=BINS, details=details
    )
    for name, details in made.items()
    if details['as_of'] != history.GROUP
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

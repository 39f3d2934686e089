"""Warnings of `rmtl prepare`, as sentences."""

from __future__ import annotations

from collections.abc import Mapping

from rmtl_jax.config import kinds
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.preparation import (
  encode,
  fit,
  label_sql,
  source,
  split_rules,
  sql,
)
from rmtl_jax.preparation import sessionize as sessions_lib
from rmtl_jax.preparation.raw import raw_files as raw

# Fraction of a split's rows that may be immature without a warning.
_MAX_IMMATURE = 0.1
# From this share on, a warning suggests how to make the split longer.
_MOST_OF_SPLIT = 0.5
_LONGER = '; --split_dates or --split can make {} longer than that'
_OTHER_SPLITS = (
  'other splits (--split_by=random, --split_dates) may have both classes'
)
# Instead, of rows that are added to data.
_ADD_MORE = '; they stay so: add more days at a time, to lose fewer'
_MORE_DAYS = 'more days at a time may have both classes'


def of_rows(
  connection: sql.Connection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions_lib.RowPlaces,
  rule: split_rules.SplitRule,
  of_splits: Mapping[str, manifest_lib.Split],
) -> list[str]:
  """All warnings; of rows that are added to data, those that new rows make.

  Args:
    rule: how rows were split; `rolling` where they are added.
  """
  if rule.by == 'rolling':
    return [
      *immature(rows, places, _ADD_MORE),
      *late(connection, encoded, rows, places, _ADD_MORE),
      *one_class(rows, of_splits, _MORE_DAYS),
    ]
  return [
    *sessions(rows),
    *immature(rows, places),
    *late(connection, encoded, rows, places),
    *one_class(rows, of_splits),
    *fields(connection, encoded, rows),
  ]


def sessions(rows: source.SourceTable) -> list[str]:
  """Warns of features that a log without sessions can't have."""
  if rows.has_session or (rows.has_user and rows.has_time):
    return []
  lack = 'session or user' if rows.has_time else 'session and no time'
  return [
    f'the log has no {lack}: each row is its own session, so critics have'
    ' no later row to foresee, and their values are rewards'
  ]


def immature(
  rows: source.SourceTable,
  places: sessions_lib.RowPlaces,
  remedy: str = _LONGER,
) -> list[str]:
  """Warns about splits that lose many rows to labels known too late."""
  lines = []
  for name, kept, lost in zip(
    manifest_lib.SPLITS, places.rows, places.immature, strict=False
  ):
    if lost > _MAX_IMMATURE * (kept + lost):
      lines.append(
        f'{lost / (kept + lost):.0%} of the rows of {name} are left out, as'
        f' their labels are not known at its end: {fastest(rows)}'
        + _remedy(lost / (kept + lost), name, remedy)
      )
  return lines


def late(
  connection: sql.Connection,
  encoded: encode.Encoded,
  rows: source.SourceTable,
  places: sessions_lib.RowPlaces,
  remedy: str = _LONGER,
) -> list[str]:
  """Warns about splits in which many labels of a task are known too late."""
  lines = []
  for task in label_sql.late(rows.tasks):
    for i, end in enumerate(places.boundaries):
      if end is None:
        continue
      late = f'split = {i} AND timestamp + {task.known_after_ms} >= {end}'
      count = sql.count_rows(connection, encoded.table, late)
      if count > _MAX_IMMATURE * places.rows[i]:
        lines.append(
          f'{count / places.rows[i]:.0%} of the labels of'
          f' {manifest_lib.SPLITS[i]} are not observed, as they are not known'
          f' at its end: {_known(task)}'
          + _remedy(count / places.rows[i], manifest_lib.SPLITS[i], remedy)
        )
  return lines


def one_class(
  rows: source.SourceTable,
  of_splits: Mapping[str, manifest_lib.Split],
  remedy: str = _OTHER_SPLITS,
) -> list[str]:
  """Warns about splits in which a task has one class only, or no label."""
  lines = []
  for task in rows.tasks:
    found: dict[str, list[str]] = {}
    for name, split in of_splits.items():
      known, ones = split.rows_of(task.name), split.positives[task.name]
      if not known:
        found.setdefault('no label', []).append(name)
      elif task.kind == kinds.BINARY and ones in (0, known):
        only = 'no positive' if ones == 0 else 'no negative'
        found.setdefault(only, []).append(name)
    lines += [
      f'task {task.name!r} has {what} in {" and ".join(names)}, so nothing can'
      f' be {"learnt or " * ("train" in names)}measured there: {remedy}, or'
      ' the label is not what it seems'
      for what, names in found.items()
    ]
  return lines


def fastest(rows: source.SourceTable) -> str:
  """Which task's labels are known first, and when."""
  return _known(source.fastest(rows.tasks))


def _known(task: source.SourceTask) -> str:
  delay = _duration((task.known_after_ms or 0) / 1000)
  return (
    f'task {task.name!r} is known {delay} after its row (known_after_seconds)'
  )


def _remedy(lost: float, split: str, remedy: str) -> str:
  """Advice for a split that loses most of its labels, or ''."""
  return remedy.format(split) if lost > _MOST_OF_SPLIT else ''


def _duration(seconds: float) -> str:
  """A duration in the largest unit of which it has two or more.

  >>> _duration(1209600), _duration(7200), _duration(90.5)
  ('14 days', '2 hours', '90.5 s')
  """
  for unit, size in (('days', 86_400), ('hours', 3_600)):
    if seconds >= 2 * size:
      return f'{seconds / size:g} {unit}'
  return f'{seconds:g} s'


def fields(
  connection: sql.Connection, encoded: encode.Encoded, rows: source.SourceTable
) -> list[str]:
  """Warns about fields that were likely declared by mistake."""
  warnings = []
  own = {
    field.name: encode.value_sql(field)
    for field in encoded.fields
    if 'as_of' not in field.details
  }
  if constant := fit.constant(connection, encoded.table, own):
    names = ', '.join(map(repr, constant))
    noun = 'field' if len(constant) == 1 else 'fields'
    warnings.append(
      f'{noun} {names}: one value over all train rows, so it is useless'
    )
  for name, value, count in _null_texts(connection, encoded):
    remedy = 'empty it in the log'
    if 'schema' in rows.options:
      remedy = f'add {value!r} to "missing" in the schema'
    warnings.append(
      f'field {name!r}: {value!r} is a value like others, in'
      f' {count} train row{"" if count == 1 else "s"}; if it stands for'
      f' nothing, {remedy}'
    )
  return warnings


def _null_texts(
  connection: sql.Connection, encoded: encode.Encoded
) -> list[tuple[str, str, int]]:
  """(field, value, train rows) of values that likely mean missing."""
  names = list(encoded.vocabularies)
  if not names:
    return []
  nothing = ', '.join(map(sql.literal, raw.NULL_TEXTS))
  found = ' UNION ALL '.join(
    f'SELECT {i} AS field, id, value, count'
    f' FROM {vocabulary.table} WHERE value IN ({nothing})'
    for i, vocabulary in enumerate(encoded.vocabularies.values())
  )
  return [
    (names[i], value, count)
    for i, value, count in connection.execute(
      f'SELECT field, value, count FROM ({found}) ORDER BY field, id'
    ).fetchall()
  ]

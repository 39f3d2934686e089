"""DATA/manifest.json: what prepared data is, and whether it can be trusted.

The manifest is written last, so a directory without one is not prepared data.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from typing import Any

from rmtl_jax import types

FORMAT_VERSION = 1
SPLITS = ('train', 'validation', 'test')
KINDS = ('categorical', 'multi_valued', 'numeric')


@dataclasses.dataclass(frozen=True)
class Field:
  """One feature of a row.

  Attributes:
    name: the field's name; its column is `f_`, `m_` or `x_` plus the name.
    kind: 'categorical', 'multi_valued' or 'numeric'.
    size: rows of the vocabulary, row 0 included; 0 for a numeric field.
    width: slots of a multi-valued field; longer lists were cut; else 0.
    details: how it was made, for the record and for `predict` (bin edges,
      mean and deviation, min_count).
  """

  name: str
  kind: str
  size: int = 0
  width: int = 0
  details: dict[str, Any] = dataclasses.field(default_factory=dict)

  @property
  def column(self) -> str:
    """The field's column in the Parquet files."""
    prefix = {'categorical': 'f_', 'multi_valued': 'm_', 'numeric': 'x_'}
    return prefix[self.kind] + self.name


@dataclasses.dataclass(frozen=True)
class Task:
  """One binary label.

  Attributes:
    name: its column is `y_` plus the name.
    after: the task that a positive of this one implies (the funnel), or None.
  """

  name: str
  after: str | None = None


@dataclasses.dataclass(frozen=True)
class Split:
  """Counts of one split.

  Attributes:
    rows: rows over all files.
    sessions: sessions over all files.
    files: paths relative to the data directory, in order.
    positives: rows with label 1, per task name.
    start_ms: earliest session start, ms; None if empty.
    end_ms: the boundary that no row or label reaches, ms; None for test.
  """

  rows: int
  sessions: int
  files: tuple[str, ...]
  positives: dict[str, int]
  start_ms: int | None = None
  end_ms: int | None = None


@dataclasses.dataclass(frozen=True)
class Manifest:
  """The contents of manifest.json.

  Attributes:
    source: name of the reader that made the data.
    fields: features, in the order in which networks see them.
    tasks: labels, in funnel order.
    splits: 'train', 'validation', 'test'.
    user_field: the categorical field that identifies the user, or None.
    item_field: the categorical field that identifies the item, or None.
    has_oracle: whether columns `p_<task>` with true probabilities exist.
    options: the options that made the data.
    source_files: name, bytes and SHA-256 of every raw file.
    report: counts of what was dropped and why, session lengths.
    format_version: of this file.
  """

  source: str
  fields: tuple[Field, ...]
  tasks: tuple[Task, ...]
  splits: dict[str, Split]
  user_field: str | None = None
  item_field: str | None = None
  has_oracle: bool = False
  options: dict[str, Any] = dataclasses.field(default_factory=dict)
  source_files: tuple[dict[str, Any], ...] = ()
  report: dict[str, Any] = dataclasses.field(default_factory=dict)
  format_version: int = FORMAT_VERSION

  def of_kind(self, kind: str) -> tuple[Field, ...]:
    """The fields of one kind, in order."""
    return tuple(f for f in self.fields if f.kind == kind)

  @property
  def task_names(self) -> tuple[str, ...]:
    """Names of the tasks, in order."""
    return tuple(t.name for t in self.tasks)

  def feature_spec(self) -> types.FeatureSpec:
    """What networks must know of this data."""
    return types.FeatureSpec(
      categorical=tuple(f.size for f in self.of_kind('categorical')),
      multi_valued=tuple(
        (f.size, f.width) for f in self.of_kind('multi_valued')
      ),
      numeric=len(self.of_kind('numeric')),
      num_tasks=len(self.tasks),
    )


def write(manifest: Manifest, data_dir: str | os.PathLike[str]) -> None:
  """Writes DATA/manifest.json atomically."""
  path = pathlib.Path(data_dir) / 'manifest.json'
  partial = path.with_suffix('.json.partial')
  text = json.dumps(dataclasses.asdict(manifest), indent=2, allow_nan=False)
  partial.write_text(text + '\n', encoding='utf-8')
  os.replace(partial, path)


def read(data_dir: str | os.PathLike[str]) -> Manifest:
  """Reads DATA/manifest.json and checks its form.

  Raises:
    types.InputError: no such file, not JSON, another format version, or a
      field that is missing or of the wrong form.
  """
  path = pathlib.Path(data_dir) / 'manifest.json'
  try:
    record = json.loads(path.read_text(encoding='utf-8'))
  except FileNotFoundError:
    raise types.InputError(
      f'{path}: not found: {data_dir} is not prepared data'
      ' (make it with rmtl prepare)'
    ) from None
  except (OSError, ValueError) as error:
    raise types.InputError(f'{path}: not readable: {error}') from None
  return parse(record, str(path))


def parse(record: Any, path: str = 'manifest.json') -> Manifest:
  """Turns the decoded JSON into a Manifest.

  Raises:
    types.InputError: as for `read`.
  """
  if not isinstance(record, dict):
    raise types.InputError(f'{path}: expected a JSON object')
  version = record.get('format_version')
  if version != FORMAT_VERSION:
    raise types.InputError(
      f'{path}: format_version is {version!r}, this program reads'
      f' {FORMAT_VERSION}'
    )
  try:
    manifest = Manifest(
      source=record['source'],
      fields=tuple(Field(**f) for f in record['fields']),
      tasks=tuple(Task(**t) for t in record['tasks']),
      splits={
        name: Split(**{**s, 'files': tuple(s['files'])})
        for name, s in record['splits'].items()
      },
      user_field=record.get('user_field'),
      item_field=record.get('item_field'),
      has_oracle=bool(record.get('has_oracle', False)),
      options=record.get('options', {}),
      source_files=tuple(record.get('source_files', ())),
      report=record.get('report', {}),
    )
  except (KeyError, TypeError, AttributeError) as error:
    raise types.InputError(f'{path}: malformed: {error}') from None
  _check(manifest, path)
  return manifest


def _check(manifest: Manifest, path: str) -> None:
  """Refuses a manifest whose parts contradict each other."""
  if not manifest.tasks:
    raise types.InputError(f'{path}: tasks is empty')
  missing = [s for s in SPLITS if s not in manifest.splits]
  if missing:
    raise types.InputError(f'{path}: splits lacks {missing[0]!r}')
  names = [f.name for f in manifest.fields]
  for name in names:
    if names.count(name) > 1:
      raise types.InputError(f'{path}: field {name!r} stands twice')
  for field in manifest.fields:
    if field.kind not in KINDS:
      raise types.InputError(
        f'{path}: field {field.name!r} has kind {field.kind!r},'
        f' expected one of {", ".join(KINDS)}'
      )
    integers = isinstance(field.size, int) and isinstance(field.width, int)
    if not integers or (field.kind != 'numeric' and field.size < 1):
      raise types.InputError(
        f'{path}: field {field.name!r} has size {field.size!r}'
      )
    if field.kind == 'multi_valued' and field.width < 1:
      raise types.InputError(
        f'{path}: field {field.name!r} has width {field.width!r}'
      )
  for split in manifest.splits.values():
    for name in split.files:
      inside = pathlib.PurePosixPath(name)
      if inside.is_absolute() or '..' in inside.parts:
        raise types.InputError(f'{path}: file {name!r} leaves the directory')

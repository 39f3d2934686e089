"""RUN/: a run's directory, its files and its lock.

config.json     settings, data and digests of its files, versions
manifest.json   the data's manifest, copied
vocabulary/     the data's vocabularies, copied
checkpoints/    state/ (stage in training), pretrain/, critic/, constant/,
                finetune/ (finished ones)
members/        of an ensemble, which has no checkpoints: a run per model
paper/          a first run's: a run of the paper's model
metrics.jsonl, metrics.json, importance.json, evaluation/,
tensorboard/, tracking/, report/
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rmtl_jax import config as config_lib
from rmtl_jax import durable, json_files, types
from rmtl_jax.config import values as config_values
from rmtl_jax.config import variants
from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file, reading, vocabulary_file
from rmtl_jax.networks import backbone_registry
from rmtl_jax.runtime import (
  checkpoints,
  collectives,
  mesh,
  provenance,
  stages,
  workdir_checks,
  writers,
)

# Kinds of directories; a study's is described like a run's.
RUN, COMPARISON, SEARCH = KINDS = 'run', 'comparison', 'search'
# Message of other processes if one of them finds no such run.
OTHER = 'another process of this job has other settings or data'
# Of settings that this version does not take.
_OTHER_VERSION = (
  'if another version made this, read it with that one, or train it again in'
  ' another directory'
)
# The file of a Ranker in its run.
RANKER = 'ranker.json'
# The directory of a first run's paper model.
PAPER = 'paper'
_NONE: Mapping[str, str] = {}


@dataclasses.dataclass(frozen=True)
class Run:
  """The description of a run, from its directory.

  Attributes:
    path: the directory.
    config: settings.
    data_dir: the prepared data of the run.
    manifest: its manifest.
    digests: SHA-256 of the data's Parquet files when the run began, by name in
      the manifest.
    layout: the mesh that checkpoints are restored to; None: one device.
    started_from: the run of a warm start, as training/run_start.py describes
      it; {} if it started from scratch.
    refit_of: the run that this one trains again, with validation rows too, as
      training/refit.py describes it; {} if it is none.
    kind: one of KINDS.
  """

  path: pathlib.Path
  config: config_lib.Config
  data_dir: pathlib.Path
  manifest: manifest_lib.Manifest
  digests: dict[str, str] = dataclasses.field(default_factory=dict)
  layout: mesh.Layout | None = None
  started_from: dict[str, Any] = dataclasses.field(default_factory=dict)
  refit_of: dict[str, Any] = dataclasses.field(default_factory=dict)
  kind: str = RUN

  def on(self, layout: mesh.Layout | None) -> Run:
    """The run with the settings and shardings of a mesh, if there is one."""
    if layout is None:
      return self
    config = layout.computing(self.config)
    return dataclasses.replace(self, config=config, layout=layout)

  def checkpoint(self, stage: str, keep: int = 1) -> checkpoints.Store:
    """The store of a finished stage; it keeps one checkpoint."""
    shardings = self.layout.shardings if self.layout else None
    return checkpoints.Store(self.path / 'checkpoints' / stage, keep, shardings)

  def unfinished(self) -> checkpoints.Store:
    """The store of the stage in training."""
    return self.checkpoint('state', keep=2)

  @property
  def members(self) -> tuple[Run, ...]:
    """The runs of one model each: those of an ensemble, or this one."""
    if self.config.ensemble == 1:
      return (self,)
    return tuple(
      dataclasses.replace(self, path=self.path / f'members/{m}', config=config)
      for m, config in enumerate(variants.member_configs(self.config))
    )

  def has(self, stage: str) -> bool:
    """Whether the stage left a checkpoint, of every member of an ensemble.

    A member that is fitted at once has actors alone.
    """
    runs = self.members
    if stage not in stages.ACTORS:
      runs = [
        r for r in runs if not backbone_registry.is_fitted(r.config)
      ] or runs
    return all(
      checkpoints.exists(run.path / 'checkpoints' / stage) for run in runs
    )


@contextlib.contextmanager
def locked(path: pathlib.Path) -> Iterator[None]:
  """Locks the directory; a crash releases the lock.

  Raises:
    types.InputError: it can't be created, or another process has the lock.
  """
  # Bad input is found after locking: a directory or a file that only the lock
  # created is removed again.
  is_new = not path.exists()
  try:
    path.mkdir(parents=True, exist_ok=True)
    before = _names(path)
    file = (path / '.lock').open('w')
  except OSError as error:
    raise types.InputError(f'{path}: not writable: {error.strerror}') from None
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
      raise types.InputError(
        f'{path}: another process is working in this directory'
      ) from None
    try:
      yield
    except BaseException:
      with contextlib.suppress(OSError):
        if _names(path) == sorted([*before, '.lock']):
          (path / '.lock').unlink()
          if is_new:
            path.rmdir()
      raise


def _names(path: pathlib.Path) -> list[str]:
  return sorted(entry.name for entry in path.iterdir())


def find(
  path: pathlib.Path,
  config: config_lib.Config,
  data_dir: pathlib.Path,
  kind: str = RUN,
) -> Run:
  """Reads the run of the directory, or describes a new one for `create`.

  Raises:
    types.InputError: the directory has a run with other settings or data, or
      something of another kind; names the first that differs; or as
      `checks.check_place`.
  """
  manifest = manifest_file.read(data_dir)
  vocabulary_file.check_sizes(data_dir, manifest)
  if not (path / 'config.json').exists():
    workdir_checks.check_place(path)
    return Run(path, config, data_dir, manifest, kind=kind)
  old = read(path)
  if old.kind != kind:
    raise types.InputError(
      f'{path}: contains a {old.kind}{workdir_checks.REMEDY}'
    )
  workdir_checks.check_settings(
    path, config_values.flatten(old.config), config_values.flatten(config)
  )
  if reading.sha256(path / 'manifest.json') != reading.sha256(
    data_dir / 'manifest.json'
  ):
    if data_dir.resolve() == old.data_dir:
      raise _replaced(old, workdir_checks.REMEDY)
    workdir_checks.check_compatible(
      old.manifest, manifest, f'{path}: {data_dir}'
    )
    raise types.InputError(
      f'{path}: this run was trained on other data than'
      f' {data_dir}{workdir_checks.REMEDY}'
    )
  # Those that may change are as they are asked for now.
  return dataclasses.replace(old, config=config, data_dir=data_dir)


def create(
  path: pathlib.Path,
  config: config_lib.Config,
  data_dir: pathlib.Path,
  digests: Mapping[str, str] = _NONE,
  started_from: Mapping[str, Any] = _NONE,
  refit_of: Mapping[str, Any] = _NONE,
  kind: str = RUN,
) -> Run:
  """Writes the description of the run unless it exists.

  Args:
    path: the run's directory.
    config: settings that fit the data.
    digests: of its Parquet files; files without one are not compared later.
    started_from: see `Run`.
    refit_of: see `Run`.
    kind: one of KINDS.

  Raises:
    types.InputError: as `find`, or the data's files changed since the run
      began.
  """
  run = find(path, config, data_dir, kind)
  if (path / 'config.json').exists():
    reading.compare_digests(
      data_dir, run.digests, digests, str(path), workdir_checks.REMEDY
    )
    return run
  reading.check_recorded(data_dir, run.manifest, 'vocabulary/')
  # config.json comes last and marks the description as complete, so the other
  # files are synced before it.
  durable.copy_file(data_dir / 'manifest.json', path / 'manifest.json')
  durable.sync(path / 'manifest.json')
  if (data_dir / 'vocabulary').is_dir():
    durable.copy_tree(data_dir / 'vocabulary', path / 'vocabulary')
    durable.sync_tree(path / 'vocabulary')
  durable.sync(path.parent)
  writers.write_json(
    path / 'config.json',
    {
      'kind': kind,
      'config': config_values.to_dict(config),
      'data_dir': str(data_dir.resolve()),
      'manifest_sha256': reading.sha256(path / 'manifest.json'),
      'data_sha256': dict(digests),
      **({'started_from': dict(started_from)} if started_from else {}),
      **({'refit_of': dict(refit_of)} if refit_of else {}),
      'versions': provenance.versions(),
    },
  )
  return dataclasses.replace(
    run,
    digests=dict(digests),
    started_from=dict(started_from),
    refit_of=dict(refit_of),
  )


def own_manifest(run: Run) -> manifest_lib.Manifest:
  """The manifest of the data that the run was trained on.

  Raises:
    types.InputError: they are gone, or as for manifest_file.read.
  """
  if not (run.data_dir / 'manifest.json').exists():
    is_ranker = (run.path / RANKER).exists()
    raise types.InputError(
      f'{run.path}: {"a Ranker" if is_ranker else "a run"} of which the data,'
      f' {run.data_dir}, are gone; put them back, or name by --data_dir where'
      ' they are'
      f'{" (save(with_data=True) keeps them)" if is_ranker else ""}'
    )
  return manifest_file.read(run.data_dir)


def check_own_data(run: Run, splits: Sequence[str]) -> None:
  """Refuses data that replaced the run's own.

  Raises:
    types.InputError: names the first file that differs or is missing.
  """
  manifest = own_manifest(run)
  if manifest != run.manifest:
    raise _replaced(run)
  digests = reading.Snapshot(run.data_dir, manifest, splits).digests()
  reading.compare_digests(run.data_dir, run.digests, digests, str(run.path))


def _replaced(run: Run, remedy: str = '') -> types.InputError:
  return types.InputError(
    f'{run.data_dir / "manifest.json"}: the data were replaced since'
    f' {run.path} began{remedy}'
  )


def hold_data(stack: contextlib.ExitStack, data_dir: pathlib.Path) -> None:
  """Locks the data against replacement, in every process.

  Raises:
    types.InputError: a preparation is replacing it.
  """
  collectives.all_or_raise(
    lambda: stack.enter_context(reading.shared_lock(data_dir)), types.InputError
  )


def opened(
  stack: contextlib.ExitStack,
  path: pathlib.Path,
  config: config_lib.Config,
  data_dir: pathlib.Path,
  layout: mesh.Layout | None,
) -> Run:
  """Locks and finds the run in the first process, then finds it in all.

  Args:
    stack: releases the lock when it closes.
    path: the run's directory.
    config: settings.
    layout: the mesh, or None: one device.

  Raises:
    types.InputError: as `locked` and `find`, in every process.
  """

  def lock_and_find():
    stack.enter_context(locked(path))
    find(path, config, data_dir)

  collectives.on_first(lock_and_find, types.InputError)
  found = collectives.all_or_raise(
    lambda: find(path, config, data_dir), types.InputError, OTHER
  )
  return found.on(layout)


def padded(
  path: pathlib.Path, config: config_lib.Config, shape: mesh.Shape | None
) -> config_lib.Config:
  """Sets `network.table_multiple` so that a mesh can shard the tables.

  An existing run keeps its own value; a new one gets mesh.table_multiple.

  Args:
    path: RUN, which may be missing.
    config: settings; a table_multiple other than 1 stays.
    shape: of the mesh, or None.
  """
  if config.network.table_multiple != 1:
    return config
  multiple = mesh.table_multiple(shape) if shape else 1
  if (path / 'config.json').exists():
    multiple = read(path).config.network.table_multiple
  return config.with_network(table_multiple=multiple)


def read(path: pathlib.Path) -> Run:
  """Reads the description of a run.

  Raises:
    types.InputError: not a run's directory, or a malformed file in it.
  """
  file = path / 'config.json'
  missing = f'{path} is not a run (make it with rmtl train)'
  if not file.exists() and (path / workdir_checks.BACKTEST).exists():
    raise types.InputError(f'{path}: contains a backtest, expected a run')
  record = json_files.read(file, missing)
  for name, kind in (('config', dict), ('data_dir', str)):
    if not isinstance(record, dict) or not isinstance(record.get(name), kind):
      what = 'an object' if kind is dict else 'a text'
      raise types.InputError(f'{file}: expected {name!r}, {what}')
  try:
    config = config_values.from_dict(record['config'], path=f'{file}: config')
  except types.InputError as error:
    raise types.InputError(f'{error}; {_OTHER_VERSION}') from None
  data_dir = pathlib.Path(record['data_dir'])
  if not data_dir.exists() and (path / 'data' / 'manifest.json').exists():
    data_dir = path / 'data'  # a saved Ranker's, or of a run that was moved
  digests = record.get('data_sha256', {})
  if not isinstance(digests, dict) or not all(
    isinstance(value, str) for value in digests.values()
  ):
    raise types.InputError(f"{file}: expected 'data_sha256', texts by file")
  start, refit = record.get('started_from', {}), record.get('refit_of', {})
  for name, value in (('started_from', start), ('refit_of', refit)):
    if not isinstance(value, dict) or not isinstance(value.get('run', ''), str):
      raise types.InputError(f'{file}: expected {name!r}, an object')
  kind = record.get('kind', RUN)
  if kind not in KINDS:
    raise types.InputError(
      f'{file}: kind: found {kind!r:.80}, expected one of {", ".join(KINDS)}'
    )
  return Run(
    path,
    config,
    data_dir,
    manifest_file.read_copy(path),
    digests,
    started_from=start,
    refit_of=refit,
    kind=kind,
  )


def read_run(path: pathlib.Path) -> Run:
  """As `read`, of a run and not of a comparison or a search.

  Raises:
    types.InputError: as for `read`, or a directory of another kind.
  """
  found = read(path)
  if found.kind != RUN:
    raise types.InputError(f'{path}: contains a {found.kind}, expected a run')
  return found

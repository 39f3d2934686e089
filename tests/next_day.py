"""The tiny prepared data of the next day, with other vocabularies."""

from __future__ import annotations

import dataclasses
import pathlib
import shutil
from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax.data import manifest as manifest_lib
from rmtl_jax.data import manifest_file

NEW_ITEMS = 3


def write_vocabulary(
  path: pathlib.Path, texts: Mapping[str, Sequence[str]]
) -> None:
  """Writes vocabularies to DATA: texts by field, row 0 aside."""
  (path / 'vocabulary').mkdir(exist_ok=True)
  for name, found in texts.items():
    table = pa.table(
      {
        'value': pa.array([None, *found], pa.string()),
        'count': np.zeros(len(found) + 1, np.int64),
      }
    )
    pq.write_table(table, path / 'vocabulary' / f'{name}.parquet')


def values(manifest: manifest_lib.Manifest) -> dict[str, list[str]]:
  """A text for every row of every vocabulary, row 0 aside."""
  return {
    f.name: [f'{f.name} {i}' for i in range(1, f.size)]
    for f in manifest.fields
    if f.kind != 'numeric'
  }


def write(old: pathlib.Path, path: pathlib.Path) -> None:
  """Writes the same rows, items numbered anew among new ones."""
  shutil.copytree(old, path)
  manifest = manifest_file.read(old)
  texts = values(manifest)
  new_items = [f'new {i}' for i in range(NEW_ITEMS)]
  items = [*reversed(texts['item']), *new_items]
  place = {text: i for i, text in enumerate(items, 1)}
  numbers = np.array([0, *(place[text] for text in texts['item'])], np.int32)
  for split in manifest.splits.values():
    for name in split.files:
      table = pq.read_table(path / name)
      at = table.schema.get_field_index('f_item')
      ids = pa.array(numbers[table['f_item'].to_numpy()])
      pq.write_table(table.set_column(at, 'f_item', ids), path / name)
  fields = tuple(
    dataclasses.replace(f, size=f.size + NEW_ITEMS) if f.name == 'item' else f
    for f in manifest.fields
  )
  manifest_file.write(dataclasses.replace(manifest, fields=fields), path)
  write_vocabulary(path, {**texts, 'item': items})

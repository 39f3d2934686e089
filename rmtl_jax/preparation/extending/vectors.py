"""Vectors learnt elsewhere, for a vocabulary that has grown."""

from __future__ import annotations

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rmtl_jax.data import column_reader, parquet
from rmtl_jax.data import vectors as data_vectors
from rmtl_jax.preparation.extending import files, settings, vocabularies


def extend(
  grown: dict[str, vocabularies.Grown],
  base: settings.Base,
  directory: pathlib.Path,
) -> None:
  """Links vectors, or writes them with zeros, the mean, for new values.

  Those of known values were centred and scaled with train's, and stay.
  """
  for field in base.manifest.fields:
    if 'vectors' not in field.details:
      continue
    name = data_vectors.file_name(field)
    (directory / data_vectors.FOLDER).mkdir(exist_ok=True)
    added = grown[field.name].added
    if not added:
      files.link(base.directory / name, directory / name)
      continue
    path = base.directory / name
    with column_reader.one_line_errors(path), parquet.open_file(path) as file:
      known = file.read()
    width = field.details['vectors']['width']
    zeros = pa.array(
      list(np.zeros((added, width), np.float32)),
      known.schema.field(data_vectors.COLUMN).type,
    )
    new = pa.table({data_vectors.COLUMN: zeros}, known.schema)
    pq.write_table(pa.concat_tables([known, new]), directory / name)

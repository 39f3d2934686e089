"""New days for prepared data: beside preparing the whole log again.

    python -m benchmarks.extend --rows=1000000,5000000 --new_rows=100000 \
      --output=benchmarks/results/extend.json

The log is that of `benchmarks.large_log`, in the order of time. Its first rows
are prepared with and without what an extension needs, then extended by the last
ones; the whole log is prepared at once. Every command is a process of its own.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import tempfile
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from absl import app, flags

from benchmarks import commands, large_log, machine
from rmtl_jax.preparation import windows

# --rows and --output are those of large_log.
_NEW = flags.DEFINE_integer('new_rows', 100_000, 'The last so many are new.')
_AS_OF = flags.DEFINE_string('as_of', 'auto', 'Groups of as-of features.')


def measure(directory: pathlib.Path, rows: int) -> list[dict[str, Any]]:
  """Figures of preparing, extending and preparing at once."""
  large_log.write_log(directory, rows)
  raw, new = directory / 'raw', directory / 'new'
  # Shards of the log overlap in time, so the last rows are cut by it.
  whole = pq.read_table(raw)
  time = whole['time'].to_numpy()
  seam = int(np.partition(time, rows - _NEW.value)[rows - _NEW.value])
  new.mkdir()
  pq.write_table(whole.filter(time >= seam), new / 'part.parquet')
  del whole
  spill = directory / 'spill'
  spill.mkdir()

  def prepare(name: str, *flags_: str) -> dict[str, Any]:
    place = directory / name
    found = commands.run(
      ['prepare', f'--data_dir={place}', f'--temp_dir={spill}', *flags_], spill
    )
    return {
      'command': name,
      'rows': rows,
      'new_rows': _NEW.value,
      **found,
      'data_mib': commands.size(place) / 2**20,
      'past_mib': commands.size(place / 'past') / 2**20,
      'load': os.getloadavg()[0],
    }

  first = [
    '--source=table',
    f'--schema={directory / "schema.json"}',
    f'--raw_dir={raw}',
    f'--as_of={_AS_OF.value}',
  ]
  until = f'--until={windows.shown(seam)}'
  return [
    prepare('without_past', *first, until, '--nokeep_past'),
    prepare('with_past', *first, until),
    prepare(
      'extended', f'--extend={directory / "with_past"}', f'--raw_dir={new}'
    ),
    prepare('at_once', *first),
  ]


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  figures = []
  for rows in map(int, flags.FLAGS.rows):
    directory = pathlib.Path(tempfile.mkdtemp(prefix='extend_'))
    try:
      figures += measure(directory, rows)
    finally:
      shutil.rmtree(directory)
    print(machine.table(figures), flush=True)
  machine.write(
    flags.FLAGS.output,
    {'benchmark': 'extend', 'as_of': _AS_OF.value, 'figures': figures},
  )


if __name__ == '__main__':
  app.run(main)

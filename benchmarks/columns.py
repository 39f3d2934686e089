"""What a split takes in memory beside its columns.

    python -m benchmarks.columns --data_dir=DATA \
      --output=benchmarks/results/columns.json

MiB of the process: resident before anything is read, after the train rows are
read and placed on the device, and after equal rows are found, which an
evaluation does; and the largest so far. Columns are those that the device
needs, once. DATA is prepared data, such as benchmarks/public_size.py makes.
"""

from __future__ import annotations

import os
import pathlib
import time

import jax
import numpy as np
from absl import app, flags

from benchmarks import machine
from rmtl_jax import config as config_lib
from rmtl_jax.data import manifest_file
from rmtl_jax.training import splits

_OUTPUT = flags.DEFINE_string('output', '', 'JSON file; none if empty.')
_DATA = flags.DEFINE_string('data_dir', '', 'Prepared data.')
_SPLIT = flags.DEFINE_string('split', 'train', 'What is read.')
_MIB = 2**20


def resident() -> float:
  """MiB of this process in memory."""
  pages = pathlib.Path('/proc/self/statm').read_text().split()[1]
  return int(pages) * os.sysconf('SC_PAGE_SIZE') / _MIB


def row(part: str, begin: float) -> dict[str, str | float]:
  """What a part has left in memory, and what it took."""
  return {
    'after': part,
    'resident_mib': resident(),
    'peak_mib': machine.peak_mebibytes(),
    'cpu_seconds': time.process_time() - begin,
  }


def main(argv: list[str]) -> None:
  """Prints the table, writes the file."""
  del argv
  place = pathlib.Path(_DATA.value)
  manifest = manifest_file.read(place)
  jax.block_until_ready(jax.device_put(np.zeros(1)))
  rows = [row('start', time.process_time())]
  begin = time.process_time()
  split = splits.read(place, manifest, _SPLIT.value, config_lib.BatchConfig())
  jax.block_until_ready(split.device)
  rows.append(row('read and place', begin))
  begin = time.process_time()
  _ = split.equal_rows
  rows.append(row('equal rows', begin))
  size = sum(x.nbytes for x in jax.tree.leaves(split.device)) / _MIB
  print(machine.table(rows))
  print(f'{split.host.rows:,} rows, columns {size:.0f} MiB')
  machine.write(
    _OUTPUT.value,
    {
      'benchmark': 'columns',
      'rows': split.host.rows,
      'columns_mib': size,
      'load': os.getloadavg(),
      'figures': rows,
    },
  )


if __name__ == '__main__':
  app.run(main)

"""Commands of the launcher in processes of their own: time, memory, disk."""

from __future__ import annotations

import os
import pathlib
import subprocess
import sys
import time
from typing import Any


def size(directory: pathlib.Path) -> int:
  """Bytes of the files below, some of which may just go."""
  total = 0
  for path in directory.rglob('*'):
    try:
      total += path.stat().st_size if path.is_file() else 0
    except FileNotFoundError:
      continue
  return total


def _peak_kibibytes(pid: int) -> int:
  """The largest resident size of a process so far; 0 if it has ended."""
  try:
    lines = pathlib.Path(f'/proc/{pid}/status').read_text().splitlines()
  except OSError:
    return 0
  return next((int(x.split()[1]) for x in lines if x[:6] == 'VmHWM:'), 0)


def run(arguments: list[str], spill: pathlib.Path) -> dict[str, Any]:
  """Seconds, CPU seconds, peak memory and most spilled bytes of a command.

  Args:
    arguments: of `rmtl`.
    spill: directory that it spills to.
  """
  begin = time.perf_counter()
  child = subprocess.Popen(
    [sys.executable, '-m', 'rmtl_jax', *arguments], stdout=subprocess.DEVNULL
  )
  spilled = peak = 0
  while True:
    # What wait4 tells of memory would be this process's own, before exec.
    peak = max(peak, _peak_kibibytes(child.pid))
    spilled = max(spilled, size(spill))
    pid, status, used = os.wait4(child.pid, os.WNOHANG)
    if pid:
      break
    time.sleep(0.1)
  child.returncode = os.waitstatus_to_exitcode(status)
  if child.returncode:
    raise RuntimeError(f'rmtl {arguments[0]} ended with {child.returncode}')
  return {
    'seconds': time.perf_counter() - begin,
    'cpu_seconds': used.ru_utime + used.ru_stime,
    'peak_mib': peak / 1024,
    'spilled_mib': spilled / 2**20,
  }

"""Runs command lines in forks of a process that the fault injector is in.

`LD_PRELOAD=inject.so python -m tests.faults.inject_worker` reads lines of
JSON, [root, n, kind, argv], and answers each with [exit code or minus the
signal, what was said, calls counted]. Heavy modules are imported once; no
backend of JAX is started before the fork, which it would not survive.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import json
import os
import sys
import tempfile

from rmtl_jax import cli


def main() -> None:
  """Answers lines until there are no more."""
  library = ctypes.CDLL(None)
  import jax  # noqa: F401
  import matplotlib.figure  # noqa: F401
  import orbax.checkpoint  # noqa: F401

  answers = os.fdopen(os.dup(1), 'w', buffering=1)
  os.dup2(2, 1)
  for line in sys.stdin:
    with tempfile.TemporaryFile('w+') as told:
      child = os.fork()
      if not child:
        _run(library, told, *json.loads(line))
      status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
      told.seek(0)
      text, _, count = told.read().rpartition('\0')
    answers.write(json.dumps([status, text, int(count or 0)]) + '\n')


def _run(library, told, root, n, kind, argv):
  """The child: never returns."""
  said = io.StringIO()
  library.fault_arm(root.encode(), ctypes.c_long(n), kind)
  code = 70
  try:
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
      code = cli.main(['rmtl', *argv])
  except BaseException as error:
    said.write(f'Traceback: {error!r}')
  finally:
    count = library.fault_count()
    library.fault_arm(b'', ctypes.c_long(0), 0)
    told.write(f'{said.getvalue()}\0{count}')
    told.flush()
    os._exit(code)


if __name__ == '__main__':
  main()

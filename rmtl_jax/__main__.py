"""The console script `rmtl`, and `python -m rmtl_jax`."""

import sys


def run() -> None:
  """Runs the launcher; Ctrl-C is one line while it is imported, too."""
  try:
    from rmtl_jax import cli
  except KeyboardInterrupt:
    print('rmtl: interrupted', file=sys.stderr)
    sys.exit(130)
  cli.run()


if __name__ == '__main__':
  run()

"""`python -m rmtl_jax` is the launcher `rmtl`."""

from rmtl_jax import cli

cli.run()

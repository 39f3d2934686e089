"""The report of `rmtl report` on one run."""

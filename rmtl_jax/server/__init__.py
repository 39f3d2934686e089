"""The server of `rmtl serve`: predictions over HTTP, with state."""

"""Raw logs to prepared sessions to packed lanes; knows no JAX."""

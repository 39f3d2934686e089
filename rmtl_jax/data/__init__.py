"""Prepared sessions to packed lanes; knows no JAX."""

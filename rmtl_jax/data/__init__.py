"""Reads prepared sessions and packs them in lanes, without JAX."""

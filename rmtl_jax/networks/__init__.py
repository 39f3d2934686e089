"""Flax modules of actors and critics; `functional` is the only door."""

"""Optax transformations that weigh every row's loss of every task."""

"""Multi-task recommendation in JAX, its losses weighed by session critics."""

__version__ = '0.1.0'

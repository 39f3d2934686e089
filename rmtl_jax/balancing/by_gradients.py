"""Balancers that read task gradients themselves, or whose weights learn."""

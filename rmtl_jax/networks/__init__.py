"""Flax modules of actors and critics.

Other rooms make networks of settings by `factory` alone, and see each of them
as the functions of a `functional.Network`.
"""

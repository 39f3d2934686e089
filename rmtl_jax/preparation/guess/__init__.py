"""Guesses the schema of a raw log from a sample of its rows.

`guess.guess` shows the order: a sample, facts of its columns, keys and the
time, labels, leaks, features, the schema. Names of columns are English; their
patterns are in `words`.
"""

"""Guesses the schema of a raw log from a sample of its rows.

`guess.guess` shows the order: a sample, facts of its columns, keys and the
time, labels, leaks, features, the schema. What names of columns say, and in
which words, stands in the modules of names (`key_names`, `time_names`, ...).
"""

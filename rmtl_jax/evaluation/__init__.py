"""Exact metrics, their intervals, tests over seeds and the rate baseline."""

"""Exact metrics, intervals and the rate baseline; gets predictions, no network."""

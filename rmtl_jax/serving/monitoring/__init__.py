"""Comparison of live rows and predictions with those of training."""

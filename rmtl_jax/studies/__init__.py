"""Many runs: comparisons of methods, tuning of settings."""

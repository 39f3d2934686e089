"""Sessions drawn from known probabilities."""

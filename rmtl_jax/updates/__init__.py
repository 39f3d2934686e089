"""Update steps of the three stages: pure functions, jitted by the caller."""

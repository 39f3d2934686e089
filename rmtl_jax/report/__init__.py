"""Tables and pictures that a person reads."""

"""What prepared data must be, checked."""

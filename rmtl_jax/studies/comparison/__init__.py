"""Methods x seeds on the same data, with paired tests."""

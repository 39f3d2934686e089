"""Adds the rows of new days to prepared data."""

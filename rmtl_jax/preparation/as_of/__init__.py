"""Features of what was known before a row."""

"""Raw files in DuckDB tables."""

"""Raw logs to prepared data, by DuckDB."""

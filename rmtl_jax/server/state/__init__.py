"""A server's state of sessions, users and items."""

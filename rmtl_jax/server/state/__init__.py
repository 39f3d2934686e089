"""What a server knows of sessions, users and items, and how it is kept."""

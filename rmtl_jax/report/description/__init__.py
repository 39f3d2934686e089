"""What `rmtl describe` shows of prepared data, as text and as a page."""

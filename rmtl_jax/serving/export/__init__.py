"""Exported models: what `rmtl export` writes and `exported` reads."""

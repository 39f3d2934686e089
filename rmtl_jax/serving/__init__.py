"""Using a trained run: predictions for raw rows."""

"""A run on disk and on devices: directory, checkpoints, mesh, progress."""

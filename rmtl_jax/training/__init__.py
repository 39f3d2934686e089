"""The host's side: stages, the loop, checkpoints and logs."""

"""One module per command: `define` its flags, `execute` it."""

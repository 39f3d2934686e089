"""Pure maths, one equation per function, without Flax and files."""

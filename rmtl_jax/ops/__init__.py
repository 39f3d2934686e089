"""Pure maths, one equation each; knows no Flax and no files."""

"""The report of `rmtl compare`: words, tables and pictures, in any format."""

"""The rules: plain data and plain functions, no I/O and no clock of their own."""

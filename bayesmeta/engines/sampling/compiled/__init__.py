"""Compiled programs and their cache: the one place that knows the private parts of numba and nutpie."""

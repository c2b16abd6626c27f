"""Thousands of small normal analyses at once."""

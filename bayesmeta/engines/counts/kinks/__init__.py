"""Exact likelihoods with creases, or that do not vanish at a limit: the same two integrals, on panels."""

"""Exact likelihoods that are smooth: two integrals, over mu and tau."""

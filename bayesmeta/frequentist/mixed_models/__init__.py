"""Generalised linear mixed models of counts by maximum likelihood: twins of the exact-likelihood models."""

"""The nodes of the two integrals: how far and how fine the grid of mu is, and the panels of tau."""

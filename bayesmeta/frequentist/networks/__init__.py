"""Classical network meta-analysis: generalised least squares, and what can be asked of it."""

"""The classical analysis: pooling, two-by-two methods, small-study effects, influence."""

"""Selection models by maximum likelihood: weight functions of the p-value, and one maximiser."""

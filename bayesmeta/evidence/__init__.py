"""How models and data compare: Bayes factors, averages of models, divergences, predictive checks."""

"""The axes that integrals run over: panels of tau and its marginals, Hermite rules, far tails."""

"""Normal likelihoods: one integral over tau, everything else in closed form; thousands at once in batches."""

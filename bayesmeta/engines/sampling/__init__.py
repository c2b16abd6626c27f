"""What NUTS needs: compiled programs and their cache, chains, diagnostics, and the results as an ArviZ tree."""

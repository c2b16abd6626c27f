"""What chains of draws become: summaries, diagnostics, predictions and the ArviZ tree."""

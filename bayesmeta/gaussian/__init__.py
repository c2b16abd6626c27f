"""What both schools stand on: weighted least squares given the variances."""

"""What the performance claims are measured with; run from a checkout, not installed."""

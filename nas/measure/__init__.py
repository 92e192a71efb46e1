"""Quality, cost and latency."""

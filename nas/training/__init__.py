"""Training of candidates and teachers."""

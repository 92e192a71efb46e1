"""Training data: crops, patches and teacher outputs."""

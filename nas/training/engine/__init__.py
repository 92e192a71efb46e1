"""The training loop: stages, validation, checkpoints."""

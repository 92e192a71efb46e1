"""The training loop of recipes: stages, validation, checkpoints."""

"""How a study chooses candidates: samplers and pruning."""

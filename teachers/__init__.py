"""Who teaches: HAT, its checkpoints and the cache of its outputs."""

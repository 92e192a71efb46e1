"""Published networks as architectures."""

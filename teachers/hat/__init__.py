"""HAT, the Hybrid Attention Transformer."""

"""Models on held-out images: figures, tables, images."""

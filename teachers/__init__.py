"""Teachers: families of networks, their checkpoints and the cache of their outputs."""

"""Full training of a study's winners."""

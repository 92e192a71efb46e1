"""Parts that every training shares: optimizers, number formats, process groups, stop signals."""

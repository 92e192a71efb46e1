"""From description to module: training form, deploy form, first weights."""

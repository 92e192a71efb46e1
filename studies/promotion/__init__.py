"""Promotion: full training of networks of a study."""

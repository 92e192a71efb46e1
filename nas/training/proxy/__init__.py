"""Proxy runs: short trainings that rank candidates."""

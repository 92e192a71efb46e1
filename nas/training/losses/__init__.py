"""Losses, distillation, and the objective they add up to."""

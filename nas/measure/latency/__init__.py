"""Runtimes: measured on a device, or predicted by a model of one."""

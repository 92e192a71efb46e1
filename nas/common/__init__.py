"""What every package builds on: errors, files, locks, text; imports nothing of the project."""

"""What a study found, as data."""

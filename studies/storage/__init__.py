"""Where studies live: database and locks."""

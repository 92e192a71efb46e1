"""One persisted study: its trials, outcomes and budget."""

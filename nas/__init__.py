"""The engine: how one candidate is prepared for, trained, measured and shipped."""

"""Images: degradation, prepared sets, patches."""
